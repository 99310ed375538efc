use std::{fs, path::PathBuf, time::Duration};

use mesh_core::dataplane::ConfigFeed;
use mesh_xds::control::{
    ControlEvent, ControlOptions, ControlPlane, Debounce,
    source::{DirectorySource, MemorySource},
};
use tokio::{sync::mpsc, time::timeout};

use crate::{LIMIT, client, listen, next, node, open_server, serve};

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: { name: reviews, namespace: default }
spec:
  clusterIP: 10.0.0.7
  ports: [ { name: http, port: 9080 } ]
  selector: { app: reviews }
";

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = format!("mesh-xds-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn applied(events: &mut mpsc::Receiver<ControlEvent>) -> (u64, Vec<String>) {
    let wait = async {
        loop {
            match events.recv().await {
                Some(ControlEvent::Applied { version, problems }) => {
                    return (version, problems.iter().map(ToString::to_string).collect());
                }
                Some(_) => {}
                None => panic!("no more events"),
            }
        }
    };
    timeout(LIMIT, wait).await.expect("an event comes")
}

#[tokio::test]
async fn a_directory_is_followed() {
    let folder = Folder::new("directory");
    folder.write("reviews.yaml", SERVICE);
    folder.write("notes.txt", "not ours");
    let options = ControlOptions {
        roots_pem: Some("roots".into()),
        debounce: Debounce {
            quiet: Duration::from_millis(20),
            longest: Duration::from_secs(1),
        },
        ..ControlOptions::default()
    };
    let (_handle, memory) = MemorySource::new(Vec::new());
    let mut plane = ControlPlane::new(options)
        .source(DirectorySource::new(vec![folder.0.clone()]).unwrap())
        .source(memory);
    let mut events = plane.events();
    let handle = plane.handle();
    let listener = listen().await;
    let mut client = client(listener.local_addr().unwrap(), node("web-1"));
    serve(listener, open_server(&plane.cache()));
    let running = tokio::spawn(plane.run());

    let cluster = |port: u16| format!("outbound|{port}||reviews.default.svc.cluster.local");
    let (first, _) = applied(&mut events).await;
    let update = next(&mut client).await;
    assert!(update.snapshot.clusters.contains_key(&*cluster(9080)));
    client.reply(Default::default()).await;

    folder.write("reviews.yaml", &SERVICE.replace("9080", "9081"));
    let (second, problems) = applied(&mut events).await;
    assert!(second > first, "{problems:?}");
    let update = next(&mut client).await;
    assert!(update.snapshot.clusters.contains_key(&*cluster(9081)));
    client.reply(Default::default()).await;

    folder.write("reviews.yaml", &SERVICE.replace("port: 9080", "port: nine"));
    let (_, problems) = applied(&mut events).await;
    assert!(
        problems.iter().any(|p| p.contains("reviews.yaml")),
        "{problems:?}"
    );
    let following = crate::follow(client);
    let ids = [node("web-1").id()];
    let status = timeout(LIMIT, handle.wait_applied(&ids)).await.unwrap();
    assert!(status[&ids[0]].refused.is_empty());
    following.abort();
    running.abort();
}
