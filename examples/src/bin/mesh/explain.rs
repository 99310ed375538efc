//! `mesh explain`: what becomes of a call, and which rule decides it.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use mesh_core::mesh::{Call, CallError, Caller, Question, unix_seconds};
use mesh_examples::{console::Paint, offline};
use mesh_routing::{explain::Outcome, simulation::Simulation};

use crate::check::{CANNOT_READ, Output};

/// Ends with 0 if the call arrives or is redirected, 1 if it does not, 2 if the question or the
/// configuration cannot be read.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The method, unless it is GET, and the URL: http, https, tcp or tls
    #[arg(required = true, num_args = 1..=2, value_names = ["METHOD", "URL"])]
    call: Vec<String>,
    /// Directories, with all that is below them, and files of Istio and Kubernetes manifests
    #[arg(long, required = true, num_args = 1)]
    config: Vec<PathBuf>,
    /// Who calls: namespace/pod, namespace/Deployment, namespace/app, or `outside`
    #[arg(long, required_unless_present = "gateway", conflicts_with = "gateway")]
    from: Option<String>,
    /// The gateway by which somebody outside enters, in place of a caller of the mesh
    #[arg(long)]
    gateway: Option<String>,
    /// A header, as in 'end-user: jason'; may be given several times
    #[arg(short = 'H', long = "header")]
    headers: Vec<String>,
    /// The dice: the same seed gives the same choices
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// When the call is made, as in 2026-01-01T00:00:00Z, for tokens that end
    #[arg(long)]
    time: Option<String>,
    /// The claims of a token that was verified already, as a JSON object
    #[arg(long, conflicts_with = "token")]
    claims: Option<String>,
    /// A token (a compact JWT) to be verified at that time
    #[arg(long)]
    token: Option<String>,
    /// For a person or for a program
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Asks one question of configuration.
pub(crate) fn run(explain: &Explain) -> ExitCode {
    let mesh = match offline::load(&explain.config) {
        Ok(mesh) => mesh,
        Err(error) => return cannot(&error),
    };
    let question = match question(explain) {
        Ok(question) => question,
        Err(error) => return cannot(&error),
    };
    let errors = mesh.problems.iter().filter(|problem| problem.is_error());
    let errors = errors.count();
    let simulation = Simulation::new(mesh.mesh);
    let account = match simulation.ask(&question) {
        Ok(account) => account,
        Err(error) if mesh.files == 0 => {
            let reason = format!("{error}; there is no .yaml, .yml or .json file to read");
            return cannot(&reason);
        }
        Err(error) if errors > 0 => {
            let hint = "that may be why, see `mesh check`";
            return cannot(&format!("{error}; errors in the files: {errors}, {hint}"));
        }
        Err(error) => return cannot(&error),
    };
    let mut problems = mesh.problems;
    problems.extend(simulation.problems());
    problems.sort();
    problems.dedup();
    let mut out = io::stdout();
    let text = match explain.output {
        Output::Json => {
            let told = serde_json::json!({
                "account": account,
                "problems": offline::json(&problems),
            });
            format!("{told:#}\n")
        }
        Output::Text => {
            let paint = match out.is_terminal() {
                true => Paint::Colour,
                false => Paint::Plain,
            };
            if !problems.is_empty() {
                let told = offline::report(paint, &problems, mesh.files);
                eprintln!("{}", told.trim_end());
            }
            offline::account(paint, &account)
        }
    };
    // A reader that went away changes nothing of what was found.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match account.outcome {
        Outcome::Forwarded | Outcome::Redirected => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn cannot(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("mesh: {error}");
    CANNOT_READ.into()
}

fn question(explain: &Explain) -> Result<Question, String> {
    let say = |error: CallError| error.to_string();
    let call = match &explain.call[..] {
        [url] => Call::new("GET", url),
        [method, url, ..] => Call::new(method, url),
        [] => Call::parse(""),
    };
    let caller = match (&explain.from, &explain.gateway) {
        (_, Some(gateway)) => Caller::parse_gateway(gateway),
        (from, None) => Caller::parse(from.as_deref().unwrap_or_default()),
    };
    let header = |text: &String| {
        let (name, value) = text.split_once(':').ok_or_else(|| {
            format!("{text:?} is no header: expected one such as 'end-user: jason'")
        })?;
        Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    let time = explain.time.as_ref().map(|text| {
        unix_seconds(text)
            .ok_or_else(|| format!("{text:?} is no time such as 2026-01-01T00:00:00Z"))
    });
    let claims = explain.claims.as_ref().map(|text| {
        serde_json::from_str(text)
            .map_err(|error| format!("the claims are no JSON object: {error}"))
    });
    Ok(Question {
        headers: explain
            .headers
            .iter()
            .map(header)
            .collect::<Result<_, String>>()?,
        claims: claims.transpose()?,
        token: explain.token.clone(),
        time: time.transpose()?,
        seed: explain.seed,
        ..Question::new(caller.map_err(say)?, call.map_err(say)?)
    })
}
