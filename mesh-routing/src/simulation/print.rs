//! Accounts and reports as plain text.

use std::fmt;

use super::{Account, CaseReport, Line};

/// Line by line; the first one says how the call ends and why.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines()
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Indented, and with its place at the end.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:indent$}{}", "", self.text, indent = 2 * self.depth)?;
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

/// What is not as expected, and why it is as it is; empty where all is as expected.
impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_as_expected() {
            return Ok(());
        }
        writeln!(f, "{}: {}", self.place, self.name)?;
        let account = match &self.account {
            Err(error) => return writeln!(f, "  cannot be asked: {error}"),
            Ok(account) => account,
        };
        for difference in &self.differences {
            writeln!(
                f,
                "  {}: expected {}, found {}",
                difference.field, difference.expected, difference.found
            )?;
        }
        let mut lines = account.lines().into_iter();
        lines.try_for_each(|line| writeln!(f, "    | {line}"))
    }
}
