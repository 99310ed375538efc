//! `mesh test`: whether calls become what is expected of them, from files alone.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use mesh_examples::{console::Paint, offline};

use crate::check::{CANNOT_READ, Output};

/// Ends with 0 if all is as expected, 1 if something is not, 2 if something cannot be read or there
/// is nothing to test.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Directories, with all that is below them, and files `*.mesh-test.yaml`
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// For a person or for a program
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Asks every case.
pub(crate) fn run(test: &Test) -> ExitCode {
    let outcome = match offline::test(&test.paths) {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("mesh: {error}");
            return CANNOT_READ.into();
        }
    };
    let mut out = io::stdout();
    let paint = match out.is_terminal() {
        true => Paint::Colour,
        false => Paint::Plain,
    };
    let text = match test.output {
        Output::Json => format!("{:#}\n", outcome.json()),
        Output::Text => outcome.report(paint),
    };
    // A reader that went away changes nothing of what was found.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match (outcome.cases(), outcome.is_as_expected()) {
        (0, _) => CANNOT_READ.into(),
        (_, true) => ExitCode::SUCCESS,
        (_, false) => ExitCode::FAILURE,
    }
}
