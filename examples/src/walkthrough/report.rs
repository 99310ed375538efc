//! What a walk found, as a table.

use std::fmt;

use super::{check::Skipped, judge::Finding};

/// What a walk found. Prints as a table.
#[derive(Debug, Default)]
pub struct Report {
    /// What was driven, in order.
    pub findings: Vec<Finding>,
    /// What was not.
    pub skipped: Vec<Skipped>,
}

/// The widest a column grows.
const MAX_WIDTH: usize = 48;
const HEADINGS: [&str; 4] = ["rule", "from → to", "expected", "seen"];

impl Report {
    /// Whether everything was seen as expected, and anything was asked at all.
    pub fn is_as_expected(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(Finding::is_as_expected)
    }

    /// How many requests were sent.
    fn requests(&self) -> u32 {
        let each = self.findings.iter().map(|finding| finding.check.requests);
        each.sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self.findings.iter().map(row).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            let widest = cells.chain([HEADINGS[column].chars().count()]).max();
            widest.unwrap_or_default().min(MAX_WIDTH)
        };
        let widths = [0, 1, 2, 3].map(width);
        line(f, " ", &HEADINGS.map(String::from), &widths)?;
        let rules = widths.map(|width| "─".repeat(width));
        line(f, " ", &rules, &widths)?;
        for (finding, row) in self.findings.iter().zip(&rows) {
            let mark = if finding.is_as_expected() {
                "✓"
            } else {
                "✗"
            };
            line(f, mark, row, &widths)?;
            for wrong in finding.wrong.iter().flat_map(|wrong| wrong.lines()) {
                writeln!(f, "      {wrong}")?;
            }
        }
        for Skipped {
            rule,
            from,
            to,
            reason,
        } in &self.skipped
        {
            writeln!(f, "- {rule}, {from} → {to}: not asked, because {reason}")?;
        }
        let all = self.findings.len();
        let good = self.findings.iter().filter(|one| one.is_as_expected());
        let good = good.count();
        let requests = self.requests();
        writeln!(f, "\n{good} of {all} as expected, {requests} requests")
    }
}

fn row(finding: &Finding) -> [String; 4] {
    let check = &finding.check;
    [
        check.rule.clone(),
        format!("{} → {}", check.from, check.to),
        check.promise(),
        finding.seen.clone(),
    ]
}

/// Cells that do not fit push the next ones to the right.
fn line(
    f: &mut fmt::Formatter<'_>,
    mark: &str,
    cells: &[String; 4],
    widths: &[usize; 4],
) -> fmt::Result {
    let padded = cells.iter().zip(widths).map(|(cell, &width)| {
        let missing = width.saturating_sub(cell.chars().count());
        format!("{cell}{}", " ".repeat(missing))
    });
    let padded: Vec<_> = padded.collect();
    writeln!(f, "{}", format!("{mark} {}", padded.join("  ")).trim_end())
}
