use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

/// Where the path `/dev/stdout` of an access log leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogTarget {
    /// To the process's own output, as in a container.
    #[default]
    Stdout,
    /// To a file: several proxies of one process each have their own.
    File(PathBuf),
    /// Nowhere.
    Discard,
}

/// The writers of one proxy's log files. Lines are handed to a thread that writes them: a full disk
/// or a slow terminal never holds up a request; what cannot be queued is dropped and counted.
#[derive(Debug)]
pub(crate) struct LogSinks {
    stdout: LogTarget,
    writers: Mutex<HashMap<String, LogWriter>>,
    dropped: Arc<AtomicU64>,
}

/// A way to one log file.
#[derive(Debug, Clone)]
pub(crate) struct LogWriter {
    id: u32,
    queue: SyncSender<Job>,
    dropped: Arc<AtomicU64>,
}

/// What a writing thread is given.
#[derive(Debug)]
enum Job {
    /// Write these lines.
    Lines(Vec<u8>),
    /// Say so when all that came before is written.
    Confirm(SyncSender<()>),
}

impl LogSinks {
    /// Batches of lines that may wait for a slow file.
    const QUEUE: usize = 1024;

    pub(crate) fn new(stdout: LogTarget) -> Self {
        Self {
            stdout,
            writers: Mutex::default(),
            dropped: Arc::default(),
        }
    }

    /// The writer for a path, opened at first use.
    pub(crate) fn writer(&self, path: &str) -> io::Result<LogWriter> {
        let mut writers = self
            .writers
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(writer) = writers.get(path) {
            return Ok(writer.clone());
        }
        let file = self.open(path)?;
        let (queue, batches) = sync_channel(Self::QUEUE);
        thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(file, &batches))?;
        let id = u32::try_from(writers.len()).unwrap_or(u32::MAX);
        let writer = LogWriter {
            id,
            queue,
            dropped: self.dropped.clone(),
        };
        writers.insert(path.to_owned(), writer.clone());
        Ok(writer)
    }

    /// Waits until all that was handed over is written. Blocks.
    pub(crate) fn flush(&self) {
        let writers = self
            .writers
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for writer in writers.values() {
            let (confirm, confirmed) = sync_channel(1);
            if writer.queue.send(Job::Confirm(confirm)).is_ok() {
                // A writer that gave up drops what it was given, and so confirms nothing.
                let _ = confirmed.recv();
            }
        }
    }

    /// Batches that were dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Write + Send>> {
        let append = |path: &std::path::Path| {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            Ok::<Box<dyn Write + Send>, io::Error>(Box::new(file))
        };
        match (path, &self.stdout) {
            ("/dev/stdout" | "/dev/stderr", LogTarget::Discard) => Ok(Box::new(io::sink())),
            ("/dev/stdout" | "/dev/stderr", LogTarget::File(file)) => append(file),
            ("/dev/stdout", LogTarget::Stdout) => Ok(Box::new(io::stdout())),
            ("/dev/stderr", LogTarget::Stdout) => Ok(Box::new(io::stderr())),
            (path, _) => append(path.as_ref()),
        }
    }
}

impl LogWriter {
    /// Tells the files of a proxy apart.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Hands lines over.
    pub(crate) fn send(&self, lines: Vec<u8>) {
        match self.queue.try_send(Job::Lines(lines)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn write_all(mut file: Box<dyn Write + Send>, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Lines(lines) => {
                if file.write_all(&lines).and_then(|()| file.flush()).is_err() {
                    return;
                }
            }
            // Whoever asked may have stopped waiting.
            Job::Confirm(to) => drop(to.send(())),
        }
    }
}
