//! `mesh proxy`: one proxy without a control plane.

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Args;
use mesh_examples::standalone;

use crate::interrupted;

#[derive(Debug, Args)]
pub(crate) struct Proxy {
    /// Envoy's bootstrap file, YAML or JSON, with static listeners and clusters
    #[arg(long)]
    bootstrap: PathBuf,
    /// How many threads carry traffic
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

/// Runs a proxy until it is interrupted.
pub(crate) async fn run(proxy: Proxy) -> Result<ExitCode, Box<dyn Error>> {
    let note = |problem: &str| eprintln!("mesh: not used: {problem}");
    standalone::run(&proxy.bootstrap, proxy.workers, interrupted(), note).await?;
    Ok(ExitCode::SUCCESS)
}
