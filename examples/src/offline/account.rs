//! Accounts of calls for a person.

use std::fmt::Write;

use mesh_routing::simulation::{Account, LineKind};

use crate::console::Paint;

/// An account, line by line, with where each rule is written; the first line says how the call ends
/// and why.
pub fn account(paint: Paint, account: &Account) -> String {
    let mut text = String::new();
    for line in account.lines() {
        let words = match line.kind {
            LineKind::Arrives => paint.good(&line.text),
            LineKind::Fails => paint.bad(&line.text),
            LineKind::Proxy => paint.strong(&line.text),
            LineKind::Rejected => paint.faint(&line.text),
            LineKind::Step | LineKind::Note => line.text,
        };
        let indent = 2 * line.depth;
        let _ = match &line.place {
            Some(place) => writeln!(text, "{:indent$}{words}  {}", "", paint.place(place)),
            None => writeln!(text, "{:indent$}{words}", ""),
        };
    }
    text
}
