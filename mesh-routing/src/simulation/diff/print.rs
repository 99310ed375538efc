//! A diff for a person, as plain text.

use std::fmt;

use super::{Class, Diff};

/// Of many callers or requests, so many are named.
const SHOWN: usize = 6;

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.gone {
            writeln!(f, "- {name} is not there any more\n")?;
        }
        for name in &self.added {
            writeln!(f, "+ {name} is new\n")?;
        }
        self.classes
            .iter()
            .try_for_each(|class| writeln!(f, "{class}"))?;
        for left_out in &self.left_out {
            writeln!(f, "not asked: {left_out}")?;
        }
        let classes = match self.classes.len() {
            0 => "nothing changes".to_owned(),
            1 => "1 class of calls changes".to_owned(),
            count => format!("{count} classes of calls change"),
        };
        writeln!(f, "{classes} ({} requests asked of both)", self.asked)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.target)?;
        writeln!(f, "  from {}", few(&self.sources))?;
        if !self.requests.is_empty() {
            writeln!(f, "  for {}", few(&self.requests))?;
        }
        for change in &self.changes {
            let none = || "(nothing)".to_owned();
            let old = change.old.clone().unwrap_or_else(none);
            let new = change.new.clone().unwrap_or_else(none);
            writeln!(f, "    {}: {old} -> {new}", change.aspect)?;
        }
        for (side, rules) in [("old", &self.old_rules), ("new", &self.new_rules)] {
            for rule in rules {
                writeln!(f, "  {side} {rule}")?;
            }
        }
        Ok(())
    }
}

fn few(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join("; ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
