use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{sync::mpsc, time::sleep};

use super::{ConfigSource, SourceEvent, SourceSink};

/// Files of YAML or JSON, followed as they are edited.
///
/// A directory stands for the files directly in it that end in `.yaml`, `.yml` or `.json`, as for
/// `kubectl apply -f`. However an editor saves, in place or by renaming, what counts is what the
/// files say once writing has come to rest.
#[derive(Debug)]
pub struct DirectorySource {
    places: Vec<Place>,
    /// Files that belong to somebody else.
    except: Vec<String>,
}

/// Why a path cannot be a source.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct DirectoryError {
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// Where files are looked for.
#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    File(PathBuf),
}

/// The texts of files by name.
type Texts = BTreeMap<String, String>;

/// What tells a directory from another of the same name: device, number and birth. None where there
/// is no directory.
type Identity = Option<(u64, u64, Option<SystemTime>)>;

impl DirectorySource {
    /// Writing has come to rest when nothing happened for so long.
    const REST: Duration = Duration::from_millis(30);
    /// Where changes cannot be watched, or something could not be read, files are looked at this
    /// often.
    const POLL: Duration = Duration::from_secs(1);
    /// A file that is suddenly empty is taken for one that is being written, for so long.
    const PATIENCE: Duration = Duration::from_secs(1);
    const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
    /// What calls are expected to become is no configuration.
    const TESTS: [&str; 2] = [".mesh-test.yaml", ".mesh-test.yml"];

    /// Follows directories and files, all of which must be there to begin with.
    pub fn new(paths: Vec<PathBuf>) -> Result<Self, DirectoryError> {
        let places = paths.into_iter().map(|path| {
            let checked = if path.is_dir() {
                fs::read_dir(&path).map(drop)
            } else {
                fs::metadata(&path).map(drop)
            };
            match checked {
                Ok(()) if path.is_dir() => Ok(Place::Directory(path)),
                Ok(()) => Ok(Place::File(path)),
                Err(error) => Err(DirectoryError { path, error }),
            }
        });
        Ok(Self {
            places: places.collect::<Result<_, _>>()?,
            except: Vec::new(),
        })
    }

    /// Leaves out files of this name: they are not configuration.
    pub fn except(mut self, name: &str) -> Self {
        self.except.push(name.to_owned());
        self
    }

    /// The files there are now, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        let each = self.places.iter();
        each.flat_map(|place| self.files_of(place).unwrap_or_default())
            .collect()
    }

    fn files_of(&self, place: &Place) -> io::Result<Vec<PathBuf>> {
        let directory = match place {
            Place::File(file) => return Ok(vec![file.clone()]),
            Place::Directory(directory) => directory,
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(directory)? {
            let file = entry?.path();
            if self.counts(&file) {
                files.push(file);
            }
        }
        files.sort();
        Ok(files)
    }

    fn counts(&self, file: &Path) -> bool {
        let ending = file
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default();
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        file.is_file()
            && Self::ENDINGS.contains(&ending)
            && !name.starts_with('.')
            && !Self::TESTS.iter().any(|tests| name.ends_with(tests))
            && !self.except.iter().any(|except| except == name)
    }

    /// What the files say now. A file that cannot be read keeps what it said before, and so do all
    /// files of a directory that cannot be: that it is away does not mean that nothing shall be.
    fn read(&self, before: &Texts, troubles: &mut Vec<String>) -> Texts {
        let mut texts = Texts::new();
        let mut files = Vec::new();
        for place in &self.places {
            match self.files_of(place) {
                Ok(found) => files.extend(found),
                Err(error) => {
                    let directory = place.watched();
                    let name = directory.display();
                    troubles.push(format!("{name}: {error}; what it held stays in force"));
                    let kept = before
                        .iter()
                        .filter(|(name, _)| Path::new(name).parent() == Some(directory));
                    texts.extend(kept.map(|(name, text)| (name.clone(), text.clone())));
                }
            }
        }
        for file in files {
            let name = file.display().to_string();
            match fs::read_to_string(&file) {
                Ok(text) => drop(texts.insert(name, text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    troubles.push(format!("{name}: {error}"));
                    if let Some(text) = before.get(&name) {
                        texts.insert(name, text.clone());
                    }
                }
            }
        }
        texts
    }

    /// Watches directories rather than files: an editor that saves by renaming puts another file in
    /// the watched one's place.
    fn watch(&self, wake: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
        let mut watcher = notify::recommended_watcher(move |_event| {
            // One waiting signal is as good as many.
            let _ = wake.try_send(());
        })?;
        for place in &self.places {
            watcher.watch(place.watched(), RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }

    /// Which directories would be watched now.
    fn identities(&self) -> Vec<Identity> {
        let identity = |place: &Place| {
            let found = fs::metadata(place.watched()).ok()?;
            Some((found.dev(), found.ino(), found.created().ok()))
        };
        self.places.iter().map(identity).collect()
    }

    /// Waits until another directory stands where one was watched.
    async fn replaced(&self, watched: &[Identity]) {
        loop {
            sleep(Self::POLL).await;
            if self.identities() != watched {
                return;
            }
        }
    }
}

impl Place {
    fn watched(&self) -> &Path {
        match self {
            Self::Directory(directory) => directory,
            Self::File(file) => match file.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            },
        }
    }
}

impl ConfigSource for DirectorySource {
    async fn run(self, sink: SourceSink) {
        let (wake, mut woken) = mpsc::channel(1);
        let mut watched = self.identities();
        let mut watcher = self.watch(wake.clone());
        let mut known = Texts::new();
        let mut told = Vec::new();
        let mut synced = false;
        let mut emptied = Emptied::default();
        loop {
            let mut troubles = Vec::new();
            let mut texts = self.read(&known, &mut troubles);
            let is_being_written = emptied.hold(&known, &mut texts);
            let mut events = changes(&known, &texts);
            if troubles != told {
                let reasons = troubles.iter().cloned();
                events.extend(reasons.map(|reason| SourceEvent::Trouble { reason }));
                told = troubles;
            }
            if !synced {
                events.push(SourceEvent::Synced);
                synced = true;
            }
            for event in events {
                if sink.send(event).await.is_err() {
                    return;
                }
            }
            known = texts;
            tokio::select! {
                () = sink.closed() => return,
                () = something_happened(&mut woken, watcher.is_ok() && told.is_empty()) => {}
                () = self.replaced(&watched) => {}
                () = sleep(Self::PATIENCE), if is_being_written => {}
            }
            let standing = self.identities();
            if standing != watched {
                watched = standing;
                watcher = self.watch(wake.clone());
            }
        }
    }
}

/// Files that are suddenly empty, and since when. Whoever saves in place first empties a file and
/// then writes it; between the two it says nothing, and does not mean that.
#[derive(Default)]
struct Emptied(BTreeMap<String, Instant>);

impl Emptied {
    /// Lets such files say what they said before, for a while. Says whether there are any.
    fn hold(&mut self, known: &Texts, texts: &mut Texts) -> bool {
        let is_empty = |text: &String| text.trim().is_empty();
        let now = Instant::now();
        self.0
            .retain(|name, _| texts.get(name).is_some_and(is_empty));
        let mut is_held = false;
        for (name, text) in texts.iter_mut().filter(|(_, text)| is_empty(text)) {
            let Some(before) = known.get(name).filter(|before| !is_empty(before)) else {
                continue;
            };
            let since = *self.0.entry(name.clone()).or_insert(now);
            if now - since < DirectorySource::PATIENCE {
                text.clone_from(before);
                is_held = true;
            }
        }
        is_held
    }
}

/// Waits for a change and for writing to come to rest.
async fn something_happened(woken: &mut mpsc::Receiver<()>, watched: bool) {
    if !watched {
        return sleep(DirectorySource::POLL).await;
    }
    woken.recv().await;
    while tokio::time::timeout(DirectorySource::REST, woken.recv())
        .await
        .is_ok()
    {}
}

fn changes(before: &Texts, now: &Texts) -> Vec<SourceEvent> {
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    let gone = gone.map(|name| SourceEvent::FileGone { name: name.clone() });
    let changed = now
        .iter()
        .filter(|(name, text)| before.get(*name) != Some(text));
    let changed = changed.map(|(name, text)| SourceEvent::File {
        name: name.clone(),
        text: text.clone(),
    });
    gone.chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, gone at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// An event as `file=text`, with the file's last part.
    fn brief(event: SourceEvent) -> String {
        let last = |name: String| name.rsplit('/').next().unwrap_or_default().to_owned();
        match event {
            SourceEvent::File { name, text } => format!("{}={text}", last(name)),
            SourceEvent::FileGone { name } => format!("{} gone", last(name)),
            SourceEvent::Synced => "synced".into(),
            other => format!("{other:?}"),
        }
    }

    async fn next(events: &mut mpsc::Receiver<SourceEvent>) -> String {
        let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await;
        brief(event.unwrap().unwrap())
    }

    #[tokio::test]
    async fn files_are_followed_however_they_are_saved() {
        let scratch = Scratch::new("mesh-directory-source");
        scratch.write("b.yaml", "1");
        scratch.write("a.yml", "2");
        scratch.write("notes.txt", "no");
        scratch.write("local.yaml", "no");
        scratch.write("a.mesh-test.yaml", "no");
        let source = DirectorySource::new(vec![scratch.0.clone()])
            .unwrap()
            .except("local.yaml");
        let (sink, mut events) = mpsc::channel(8);
        let running = tokio::spawn(source.run(sink));
        for want in ["a.yml=2", "b.yaml=1", "synced"] {
            assert_eq!(next(&mut events).await, want);
        }
        scratch.write("b.yaml", "in place");
        assert_eq!(next(&mut events).await, "b.yaml=in place");
        scratch.write(".b.yaml.swp", "renamed");
        fs::rename(scratch.0.join(".b.yaml.swp"), scratch.0.join("b.yaml")).unwrap();
        assert_eq!(next(&mut events).await, "b.yaml=renamed");
        fs::remove_file(scratch.0.join("a.yml")).unwrap();
        assert_eq!(next(&mut events).await, "a.yml gone");
        drop(events);
        running.await.unwrap();
    }

    #[test]
    fn a_file_that_is_being_written_says_what_it_said() {
        let text = |text: &str| Texts::from([("a.yaml".to_owned(), text.to_owned())]);
        let (known, mut emptied) = (text("1"), Emptied::default());
        let mut now = text("");
        assert!(emptied.hold(&known, &mut now));
        assert_eq!(now, known);
        let mut written = text("2");
        assert!(!emptied.hold(&known, &mut written));
        assert_eq!(written, text("2"));
        // Who leaves it empty means it.
        let long_ago = Instant::now() - DirectorySource::PATIENCE;
        emptied.0.insert("a.yaml".to_owned(), long_ago);
        let mut now = text("");
        assert!(!emptied.hold(&known, &mut now));
        assert_eq!(now, text(""));
    }

    #[tokio::test]
    async fn a_directory_that_is_away_for_a_while_takes_nothing_with_it() {
        let scratch = Scratch::new("mesh-directory-away");
        let inside = scratch.0.join("inside");
        fs::create_dir(&inside).unwrap();
        scratch.write("inside/a.yaml", "1");
        let source = DirectorySource::new(vec![inside.clone()]).unwrap();
        let (sink, mut events) = mpsc::channel(8);
        let running = tokio::spawn(source.run(sink));
        for want in ["a.yaml=1", "synced"] {
            assert_eq!(next(&mut events).await, want);
        }
        fs::rename(&inside, scratch.0.join("away")).unwrap();
        let trouble = next(&mut events).await;
        assert!(trouble.contains("stays in force"), "{trouble}");
        fs::create_dir(scratch.0.join("other")).unwrap();
        scratch.write("other/a.yaml", "2");
        fs::rename(scratch.0.join("other"), &inside).unwrap();
        assert_eq!(next(&mut events).await, "a.yaml=2");
        scratch.write("inside/a.yaml", "3");
        assert_eq!(next(&mut events).await, "a.yaml=3");
        drop(events);
        running.await.unwrap();
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let error = DirectorySource::new(vec!["/nowhere/at/all".into()]).unwrap_err();
        assert!(
            error.to_string().starts_with("/nowhere/at/all: "),
            "{error}"
        );
    }
}
