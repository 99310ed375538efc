//! `mesh up`: a whole mesh on this machine.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Instant, SystemTime},
};

use clap::Args;
use mesh_core::config::Severity;
use mesh_examples::{
    bookinfo::manifests,
    console::{Account, Paint, account, line},
    local_mesh::{GatewayPorts, LocalMesh, LocalMeshOptions, MAX_EVENTS, MeshEvent, StartError},
    walkthrough::{self, Witness},
};
use tokio::sync::broadcast;

use crate::{INTERRUPTED, interrupted};

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Directories (the files directly in them) and files of Istio and Kubernetes manifests
    /// [default: the bookinfo of the project]
    paths: Vec<PathBuf>,
    /// Where the gateway takes HTTP, on 127.0.0.1
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Ask every rule whether it does what it says, print what was seen, and end: with 0 if all is
    /// as expected, with 1 if not
    #[arg(long)]
    once: bool,
    /// Print every proxy's access log here instead of into files
    #[arg(long)]
    access_logs: bool,
}

/// Runs a mesh until it is interrupted, or until every rule has been asked.
pub(crate) async fn run(up: Up) -> Result<ExitCode, Box<dyn Error>> {
    let paths = match up.paths.is_empty() {
        true => vec![manifests::directory()?],
        false => up.paths,
    };
    let witness = up.once.then(Arc::<Witness>::default);
    let options = LocalMeshOptions {
        observer: witness.clone().map(|witness| witness as _),
        gateway: GatewayPorts::Customary { http: up.port },
        access_logs_to_terminal: up.access_logs,
        ..LocalMeshOptions::new(paths)
    };
    let started = Instant::now();
    let (sender, events) = broadcast::channel(MAX_EVENTS);
    let mesh = tokio::select! {
        mesh = LocalMesh::start_and_tell(options, sender) => mesh.map_err(advised)?,
        () = interrupted() => return Ok(INTERRUPTED.into()),
    };
    let paint = match io::stdout().is_terminal() {
        true => Paint::Colour,
        false => Paint::Plain,
    };
    tell(&account_of(paint, &mesh, up.once, up.access_logs));
    if let Some(witness) = witness {
        let code = tokio::select! {
            code = walk(paint, started, &mesh, &witness) => code,
            () = interrupted() => INTERRUPTED.into(),
        };
        if code != ExitCode::SUCCESS {
            mesh.keep_logs();
        }
        mesh.shutdown().await;
        return Ok(code);
    }
    mesh.keep_logs();
    let telling = tokio::spawn(tell_events(paint, started, events));
    interrupted().await;
    tell("\nLetting requests under way finish; once more to end at once\n");
    let code = tokio::select! {
        () = mesh.shutdown() => ExitCode::SUCCESS,
        () = interrupted() => INTERRUPTED.into(),
    };
    telling.abort();
    Ok(code)
}

/// Asks every rule whether it does what it says. What is wrong with what is written counts too: a
/// rule that is not in force cannot be asked.
async fn walk(
    paint: Paint,
    started: Instant,
    mesh: &LocalMesh,
    witness: &Arc<Witness>,
) -> ExitCode {
    let problems = mesh.problems().borrow().to_vec();
    let errors = problems.iter();
    let errors = errors.filter(|problem| problem.severity == Severity::Error);
    let errors = errors.count();
    if !problems.is_empty() {
        let problems = MeshEvent::Problems(problems);
        tell("\n");
        tell(&line(
            paint,
            started.elapsed(),
            SystemTime::now(),
            &problems,
        ));
    }
    let pods = mesh.pods();
    let report = walkthrough::walk(pods.iter().map(|pod| &pod.proxy), witness).await;
    tell(&format!("\n{report}"));
    if errors > 0 {
        let plural = if errors == 1 { "" } else { "s" };
        tell(&format!(
            "{errors} error{plural} in what is written, told above\n"
        ));
    }
    match report.is_as_expected() && errors == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What to do about it, where a flag helps.
fn advised(error: StartError) -> Box<dyn Error> {
    match error {
        StartError::Gateway { .. } => format!("{error}; choose another port with --port").into(),
        other => other.into(),
    }
}

fn account_of(paint: Paint, mesh: &LocalMesh, is_brief: bool, logs_to_terminal: bool) -> String {
    let pods: Vec<_> = mesh.pods().iter().map(|pod| pod.facts()).collect();
    let config = mesh.config().borrow().clone();
    let facts = Account {
        pods: &pods,
        unknown: &mesh.unknown_images(),
        gateways: &mesh.gateway_addresses(),
        control_plane: mesh.control_plane_address(),
        config: &config,
        is_brief,
        logs: (!logs_to_terminal).then(|| mesh.logs().to_owned()),
        now: SystemTime::now(),
    };
    account(paint, &facts)
}

/// What happened before the account was given is in it, except what went wrong.
async fn tell_events(paint: Paint, started: Instant, mut events: broadcast::Receiver<MeshEvent>) {
    let mut is_told = events.len();
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tell(&format!("({missed} events were too quick to be told)\n"));
                continue;
            }
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let is_old = is_told > 0;
        is_told = is_told.saturating_sub(1);
        let is_in_account = matches!(event, MeshEvent::PodUp(_) | MeshEvent::UnknownImage(_));
        if !(is_old && is_in_account) {
            tell(&line(paint, started.elapsed(), SystemTime::now(), &event));
        }
    }
}

/// A reader that went away (`mesh up | head`) is no reason to stop.
fn tell(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
