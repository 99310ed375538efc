//! The applications of a pod: services of ours in this process, anything else in its own.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{ExitStatus, Stdio},
    task::Poll,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    images::{CommandLine, Program},
    network::ports,
    plan::{ContainerPlan, NODE_NAME, PodPlan},
};
use crate::bookinfo::{self, App, EnvError, Kind};

/// How long a process may take to end when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How often an application is asked whether it answers.
const PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// The running applications of a pod. Dropping them kills them.
pub(super) struct Applications {
    running: Vec<Running>,
    /// Where each really listens.
    private: Vec<u16>,
    address: Ipv4Addr,
}

enum Running {
    Task {
        stop: oneshot::Sender<()>,
        task: JoinHandle<()>,
    },
    Process(Child),
}

/// Why an application does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum AppError {
    /// It found no port.
    #[error("no free port: {0}")]
    Port(#[source] io::Error),
    /// Its environment has no meaning.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The process cannot be started.
    #[error("cannot start {program:?}: {error}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        error: io::Error,
    },
}

/// The ports of a pod's applications, before they run: by container port, where they will listen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PrivatePorts(pub(super) BTreeMap<u16, u16>);

impl PrivatePorts {
    /// Finds a free port for every port of a pod. It is free on every address, since some
    /// applications listen on all of them.
    pub(super) fn find(pod: &PodPlan) -> Result<Self, AppError> {
        // All are held until the last is found, so that none is found twice.
        let held = pod.ports().into_iter().map(|port| {
            let socket = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            Ok((port, socket.local_addr()?.port(), socket))
        });
        let held: Vec<_> = held.collect::<io::Result<_>>().map_err(AppError::Port)?;
        Ok(Self(
            held.into_iter()
                .map(|(port, private, _)| (port, private))
                .collect(),
        ))
    }
}

impl Applications {
    /// Starts what a pod consists of. What processes print goes to the file `output`.
    pub(super) async fn start(
        pod: &PodPlan,
        address: Ipv4Addr,
        ports: &PrivatePorts,
        output: &Path,
    ) -> Result<Self, AppError> {
        let mut applications = Self {
            running: Vec::new(),
            private: ports.0.values().copied().collect(),
            address,
        };
        for container in &pod.containers {
            let env = environment(pod, container, address, ports);
            let main = container.ports.first().and_then(|port| ports.0.get(port));
            let running = match &container.program {
                Program::Bookinfo(kind) => serve(*kind, pod, &env, address, main).await?,
                Program::Command(command) => Running::Process(spawn(command, &env, output)?),
            };
            applications.running.push(running);
        }
        Ok(applications)
    }

    /// Waits until every port is answered, on the pod's address or on localhost, or a process has
    /// ended, so that it never will be.
    pub(super) async fn answering(&mut self) {
        for port in self.private.clone() {
            while !self.answers(port).await && self.has_ended().is_none() {
                sleep(PROBE_INTERVAL).await;
            }
        }
    }

    async fn answers(&self, port: u16) -> bool {
        let at = |ip: Ipv4Addr| TcpStream::connect(SocketAddr::new(ip.into(), port));
        at(self.address).await.is_ok() || at(Ipv4Addr::LOCALHOST).await.is_ok()
    }

    /// Whether a process has ended already.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.running.iter_mut().find_map(|running| match running {
            Running::Process(child) => child.try_wait().ok()?,
            Running::Task { .. } => None,
        })
    }

    /// Waits until a process has ended by itself, which none should.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        let processes = self.running.iter_mut().filter_map(|running| match running {
            Running::Process(child) => Some(Box::pin(child.wait())),
            Running::Task { .. } => None,
        });
        let mut processes: Vec<_> = processes.collect();
        std::future::poll_fn(|context| {
            let mut polls = processes.iter_mut().map(|p| p.as_mut().poll(context));
            polls.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }

    /// Lets requests under way finish, then ends them.
    pub(super) async fn stop(self) {
        for running in self.running {
            match running {
                Running::Task { stop, task } => {
                    let _ = stop.send(());
                    let _ = task.await;
                }
                Running::Process(child) => stop_process(child).await,
            }
        }
    }
}

/// What a container finds in its environment: what a cluster's downward API tells, its port, the
/// way out through the sidecar, and what its manifest says, which wins.
fn environment(
    pod: &PodPlan,
    container: &ContainerPlan,
    address: Ipv4Addr,
    ports: &PrivatePorts,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let mut put = |name: &str, value: String| env.insert(name.to_owned(), value);
    let private = |port: &u16| ports.0.get(port).map(u16::to_string);
    if let Some(main) = container.ports.first().and_then(private) {
        put("PORT", main);
    }
    for port in &container.ports {
        if let Some(private) = private(port) {
            put(&format!("PORT_{port}"), private);
        }
    }
    put("POD_IP", address.to_string());
    put("INSTANCE_IP", address.to_string());
    put("POD_NAME", pod.key.name.clone());
    put("HOSTNAME", pod.key.name.clone());
    put("POD_NAMESPACE", pod.key.namespace.clone());
    put("SERVICE_ACCOUNT", pod.service_account.clone());
    put("HOST_IP", Ipv4Addr::LOCALHOST.to_string());
    put("NODE_NAME", NODE_NAME.to_owned());
    let proxy = format!("http://{address}:{}", ports::HTTP_PROXY);
    put("HTTP_PROXY", proxy.clone());
    put("http_proxy", proxy);
    put("NO_PROXY", "localhost,127.0.0.1".to_owned());
    put("no_proxy", "localhost,127.0.0.1".to_owned());
    let written = container.env.iter();
    env.extend(written.map(|(name, value)| (name.clone(), value.of(pod, address))));
    env
}

async fn serve(
    kind: Kind,
    pod: &PodPlan,
    env: &BTreeMap<String, String>,
    address: Ipv4Addr,
    port: Option<&u16>,
) -> Result<Running, AppError> {
    let app = App {
        proxy: Some((address, ports::HTTP_PROXY).into()),
        ..App::new(kind, &*pod.key.name)
    }
    .with_env(env)?;
    let port = port.copied().unwrap_or_default();
    let listener = TcpListener::bind((address, port)).await;
    let listener = listener.map_err(AppError::Port)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let task = tokio::spawn(bookinfo::run(listener, app, shutdown));
    Ok(Running::Task { stop, task })
}

fn spawn(
    command: &CommandLine,
    env: &BTreeMap<String, String>,
    output: &Path,
) -> Result<Child, AppError> {
    let (program, arguments) = command
        .words
        .split_first()
        .expect("an image stands for at least one word");
    let start = || {
        let output = OpenOptions::new().create(true).append(true).open(output)?;
        let mut process = Command::new(program);
        process
            .args(arguments)
            .envs(env)
            .current_dir(directory(command));
        process
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        // In a group of its own, Ctrl-C at the terminal is ours alone to hear.
        process.process_group(0).kill_on_drop(true);
        process.spawn()
    };
    start().map_err(|error| AppError::Start {
        program: program.clone(),
        error,
    })
}

/// An empty path is no directory to change to.
fn directory(command: &CommandLine) -> &Path {
    match command.directory.as_os_str().is_empty() {
        true => ".".as_ref(),
        false => &command.directory,
    }
}

/// By now the sidecar has let its requests finish, so nothing is lost.
async fn stop_process(mut child: Child) {
    let _ = child.start_kill();
    let _ = timeout(STOP_LIMIT, child.wait()).await;
}

#[cfg(test)]
mod tests;
