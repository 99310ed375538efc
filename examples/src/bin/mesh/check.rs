//! `mesh check`: what is wrong with configuration, before it goes anywhere.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use mesh_core::mesh::{MeshDefaults, analyze_files};
use mesh_examples::{
    console::Paint,
    offline::{self, Tally},
};

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Directories, with all that is below them, and files of Istio and Kubernetes manifests
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// For a person or for a program
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Let warnings count as errors
    #[arg(long)]
    strict: bool,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Lines
    #[default]
    Text,
    /// One object
    Json,
}

/// What programs that look at configuration say when they cannot read it.
pub(crate) const CANNOT_READ: u8 = 2;

/// Ends with 0 if all is well, 1 if there are errors, 2 if something cannot be read.
pub(crate) fn run(check: &Check) -> ExitCode {
    let files = match offline::read(&check.paths) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("mesh: {error}");
            return CANNOT_READ.into();
        }
    };
    let config: Vec<_> = files.iter().filter(|file| !file.is_test).collect();
    let texts = config.iter().map(|file| (&*file.name, &*file.text));
    let problems = analyze_files(texts, &MeshDefaults::default());
    let mut out = io::stdout();
    let text = match check.output {
        Output::Json => format!("{:#}\n", offline::json(&problems)),
        Output::Text if out.is_terminal() => {
            offline::report(Paint::Colour, &problems, config.len())
        }
        Output::Text => offline::report(Paint::Plain, &problems, config.len()),
    };
    // A reader that went away (`mesh check | head`) changes nothing of what was found.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let tally = Tally::of(&problems);
    match tally.errors > 0 || (check.strict && tally.warnings > 0) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
