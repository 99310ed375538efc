//! The mesh from the command line: `cargo mesh up`, and what can be asked of files alone.

#![expect(clippy::print_stderr, reason = "a program talks to its user")]

mod check;
mod diff;
mod explain;
mod proxy;
mod test;
mod up;

use std::{error::Error, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use tokio::{
    runtime::Runtime,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A service mesh.
#[derive(Debug, Parser)]
#[command(name = "mesh", version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole mesh on this machine, until interrupted
    Up(up::Up),
    /// Say what is wrong with configuration, with file and line, why, and what to do
    Check(check::Check),
    /// Say what becomes of a call, and which rules decide it, from files alone
    Explain(explain::Explain),
    /// Ask whether calls become what is expected of them (*.mesh-test.yaml), from files alone
    Test(test::Test),
    /// Say for whom, and for which calls, a change of configuration changes something
    Diff(diff::Diff),
    /// Run one proxy on an Envoy bootstrap file, until interrupted
    Proxy(proxy::Proxy),
}

/// What shells report of a program that an interrupt ended (128 + SIGINT).
const INTERRUPTED: u8 = 130;

/// How long tasks that were told to end may take once there is nothing to wait for.
const LAST_MOMENTS: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let Flags { command } = Flags::parse();
    match command {
        Command::Check(check) => check::run(&check),
        Command::Explain(explain) => explain::run(&explain),
        Command::Test(test) => test::run(&test),
        Command::Diff(asked) => diff::run(&asked),
        Command::Up(up) => on_runtime(up::run(up)),
        Command::Proxy(proxy) => on_runtime(proxy::run(proxy)),
    }
}

/// Runs what needs sockets and time to its end.
fn on_runtime(command: impl Future<Output = Result<ExitCode, Box<dyn Error>>>) -> ExitCode {
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("mesh: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(command);
    // Applications in processes of their own end with the tasks that watch them.
    runtime.shutdown_timeout(LAST_MOMENTS);
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mesh: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits until somebody wants the program to end.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(ctrl_c().await);
    };
    tokio::select! {
        _ = ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
