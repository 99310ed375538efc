//! A mesh of its own for every test: a copy of bookinfo's manifests to edit, a gateway on port
//! zero, and a client before it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use mesh_examples::{
    local_mesh::{GatewayPorts, LocalMesh, LocalMeshOptions},
    walkthrough::{Party, Report, Script, Witness, drive},
};
use tokio::{net::TcpStream, time::timeout};

/// Nothing in these tests takes as long unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A running mesh and the manifests it runs.
pub(crate) struct Town {
    pub(crate) mesh: LocalMesh,
    pub(crate) manifests: PathBuf,
    pub(crate) witness: Arc<Witness>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Town {
    /// Runs a copy of our own bookinfo. `name` is that of the test.
    pub(crate) async fn bookinfo(name: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bookinfo");
        Self::start(copied(name, &[source])).await
    }

    /// The same with settings of its own.
    pub(crate) async fn bookinfo_with(name: &str, options: LocalMeshOptions) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bookinfo");
        Self::start_with(copied(name, &[source]), options).await
    }

    /// Runs the manifests of a directory.
    pub(crate) async fn start(manifests: PathBuf) -> Self {
        Self::start_with(manifests, LocalMeshOptions::new(Vec::new())).await
    }

    async fn start_with(manifests: PathBuf, options: LocalMeshOptions) -> Self {
        let witness = Arc::<Witness>::default();
        let options = LocalMeshOptions {
            paths: vec![manifests.clone()],
            gateway: GatewayPorts::Any,
            drain_time: Duration::from_millis(500),
            observer: Some(witness.clone()),
            ..options
        };
        let mesh = timeout(LIMIT, LocalMesh::start(options)).await;
        Self {
            mesh: mesh.expect("a mesh starts in time").expect("a mesh starts"),
            manifests,
            witness,
        }
    }

    /// What the plans in force promise.
    pub(crate) fn script(&self) -> Script {
        let pods = self.mesh.pods();
        let parties: Vec<_> = pods.iter().map(|pod| Party::of(&pod.proxy)).collect();
        Script::of(&parties)
    }

    /// Asks all of it.
    pub(crate) async fn walk(&self) -> Report {
        drive(self.script(), &self.witness).await
    }

    /// Asks through the gateway, as a browser would.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let gateway = self.mesh.gateway_address().expect("a gateway is open");
        get(gateway, path, headers)
            .await
            .expect("the gateway answers")
    }

    /// Writes a file anew, and waits until what it says is in force everywhere.
    pub(crate) async fn write(&self, file: &str, text: &str) {
        let mut config = self.mesh.config();
        config.mark_unchanged();
        fs::write(self.manifests.join(file), text).expect("manifests can be written");
        let seen = timeout(LIMIT, config.changed()).await;
        seen.expect("an edit is seen in time").expect("a mesh runs");
        self.settled().await;
    }

    /// What a file says.
    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.manifests.join(file)).expect("manifests can be read")
    }

    /// Waits until every proxy runs on what is written.
    pub(crate) async fn settled(&self) {
        let settled = timeout(LIMIT, self.mesh.wait_settled()).await;
        settled.expect("the mesh settles in time");
    }

    /// Ends it, which takes no longer than its drain time allows.
    pub(crate) async fn end(self) {
        let ended = timeout(LIMIT, self.mesh.shutdown()).await;
        ended.expect("a mesh ends in time");
    }
}

/// A fresh directory with the manifests of others.
pub(crate) fn copied(name: &str, sources: &[PathBuf]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("there is room for manifests");
    for source in sources {
        let files = match source.is_dir() {
            true => {
                let entries = fs::read_dir(source).expect("the source is there");
                entries
                    .map(|entry| entry.expect("it can be listed").path())
                    .collect()
            }
            false => vec![source.clone()],
        };
        for file in files
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "yaml"))
        {
            let to = directory.join(file.file_name().expect("a file has a name"));
            fs::copy(file, to).expect("manifests can be copied");
        }
    }
    directory
}

/// Asks on a connection of its own.
pub(crate) async fn get(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::get(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let asked = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    };
    let answer = timeout(LIMIT, asked).await??;
    connection.abort();
    Ok(answer)
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    const AGAIN: Duration = Duration::from_millis(20);
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    let seen = timeout(LIMIT, looking).await;
    seen.unwrap_or_else(|_| panic!("not seen in time: {what}"))
}
