//! Problems, for people and for programs.

use std::{collections::BTreeMap, fmt::Write};

use mesh_core::{
    config::{Code, Problem, Severity},
    name::ResourceRef,
};
use serde_json::{Value, json};

use crate::console::Paint;

/// Of many places, so many are named.
const SHOWN: usize = 2;

/// How many problems there are, by how bad they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// What keeps something from taking effect.
    pub errors: usize,
    /// What takes effect, but perhaps not as meant.
    pub warnings: usize,
    /// What is worth knowing.
    pub notes: usize,
}

impl Tally {
    /// Counts problems.
    pub fn of(problems: &[Problem]) -> Self {
        let mut tally = Self::default();
        for problem in problems {
            match problem.severity {
                Severity::Error => tally.errors += 1,
                Severity::Warning => tally.warnings += 1,
                Severity::Info => tally.notes += 1,
            }
        }
        tally
    }
}

/// A line for each problem by file and line, then how many there are of each kind. What is written
/// several times over takes one line, however often.
pub fn report(paint: Paint, problems: &[Problem], files: usize) -> String {
    let mut text = String::new();
    let rivals = places(problems);
    let mut told: Vec<&ResourceRef> = Vec::new();
    for problem in problems {
        let mut line = Problem::clone(problem);
        if problem.code == Some(Code::WrittenTwice)
            && let Some(of) = &problem.resource
        {
            if told.contains(&of) {
                continue;
            }
            told.push(of);
            let others = rivals.get(of).map_or(&[][..], |places| &places[1..]);
            line.reason += &match others {
                [] => String::new(),
                [shown @ .., _] if shown.len() >= SHOWN => {
                    let more = others.len() - SHOWN;
                    let shown = shown[..SHOWN].join(", ");
                    format!(" (as it does over {shown} and {more} more)")
                }
                others => format!(" (as it does over {})", others.join(", ")),
            };
        }
        push_line(&mut text, paint, &line);
    }
    if !problems.is_empty() {
        text.push('\n');
    }
    for (code, count) in kinds(problems) {
        let _ = writeln!(text, "{count:>5}  {code}");
    }
    let Tally {
        errors,
        warnings,
        notes,
    } = Tally::of(problems);
    let counted = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    };
    let _ = writeln!(
        text,
        "{}: {}, {}, {}",
        counted(files, "file"),
        counted(errors, "error"),
        counted(warnings, "warning"),
        counted(notes, "note"),
    );
    text
}

/// Severity and place first, then what it is about, then what to do.
fn push_line(text: &mut String, paint: Paint, problem: &Problem) {
    let severity = match problem.severity {
        Severity::Error => paint.bad("error  "),
        Severity::Warning => paint.odd("warning"),
        Severity::Info => paint.faint("note   "),
    };
    let _ = write!(
        text,
        "{}: {severity}",
        paint.place(&problem.source.to_string())
    );
    if let Some(code) = problem.code {
        let _ = write!(text, " [{code}]");
    }
    let of = problem.resource.as_ref().map(ToString::to_string);
    let of = of
        .into_iter()
        .chain((!problem.field.is_empty()).then(|| problem.field.clone()));
    let of = of.collect::<Vec<_>>().join(": ");
    if !of.is_empty() {
        let _ = write!(text, " {of}");
    }
    let _ = writeln!(text, "\n    {}", problem.reason);
    if let Some(advice) = &problem.advice {
        let _ = writeln!(text, "    {} {advice}", paint.strong("->"));
    }
}

/// The lines of resources that are written several times.
fn places(problems: &[Problem]) -> BTreeMap<&ResourceRef, Vec<String>> {
    let mut places: BTreeMap<&ResourceRef, Vec<String>> = BTreeMap::new();
    for problem in problems {
        if let (Some(Code::WrittenTwice), Some(of)) = (problem.code, &problem.resource) {
            places
                .entry(of)
                .or_default()
                .push(problem.source.to_string());
        }
    }
    places
}

/// How many problems there are of each kind that has a name.
fn kinds(problems: &[Problem]) -> BTreeMap<Code, usize> {
    let mut kinds = BTreeMap::new();
    for code in problems.iter().filter_map(|problem| problem.code) {
        *kinds.entry(code).or_default() += 1;
    }
    kinds
}

/// The same for a program: one object with every problem.
pub fn json(problems: &[Problem]) -> Value {
    let tally = Tally::of(problems);
    let each = problems.iter().map(|problem| {
        let of = problem.resource.as_ref().map(|of| {
            json!({
                "group": &*of.group,
                "kind": &*of.kind,
                "namespace": &*of.namespace,
                "name": &*of.name,
            })
        });
        json!({
            "file": &*problem.source.file,
            "line": problem.source.line,
            "severity": problem.severity.to_string(),
            "code": problem.code.map(Code::id),
            "name": problem.code.map(Code::name),
            "resource": of,
            "field": problem.field,
            "reason": problem.reason,
            "advice": problem.advice,
        })
    });
    json!({
        "problems": each.collect::<Vec<_>>(),
        "errors": tally.errors,
        "warnings": tally.warnings,
        "notes": tally.notes,
    })
}

#[cfg(test)]
mod tests {
    use mesh_core::mesh::{MeshDefaults, analyze_files};

    use super::*;

    const TWICE: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a.example.com]
  http: [{redirect: {uri: /}}]
";

    #[test]
    fn what_is_written_several_times_takes_one_line() {
        let files = [("1.yaml", TWICE), ("2.yaml", TWICE), ("3.yaml", TWICE)];
        let problems = analyze_files(files, &MeshDefaults::default());
        let want = "\
1.yaml:1: warning [MESH0004 WrittenTwice] VirtualService default/a
    3.yaml:1 holds it too, and wins (as it does over 2.yaml:1)
    -> files count in the order of their names, the last one wins

    2  MESH0004 WrittenTwice
3 files: 0 errors, 2 warnings, 0 notes
";
        assert_eq!(report(Paint::Plain, &problems, 3), want);
        let json = json(&problems);
        assert_eq!(json["problems"][1]["file"], "2.yaml");
        assert_eq!(json["problems"][1]["code"], "MESH0004");
        assert_eq!(json["warnings"], 2);
    }
}
