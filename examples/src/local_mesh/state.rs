use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use super::Block;

/// A directory for what a mesh writes. It goes with the mesh, unless somebody wants to keep it.
#[derive(Debug)]
pub(super) struct StateDirectory {
    path: PathBuf,
    logs: PathBuf,
    is_kept: AtomicBool,
}

impl StateDirectory {
    /// A fresh one: two meshes of one machine differ in their process or in their block.
    pub(super) fn create(block: &Block) -> io::Result<Self> {
        let name = format!("mesh-{}-{}", process::id(), block.number());
        let path = env::temp_dir().join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let logs = path.join("logs");
        fs::create_dir_all(&logs)?;
        Ok(Self {
            path,
            logs,
            is_kept: AtomicBool::new(false),
        })
    }

    /// Where proxies and applications write what they have to say.
    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }

    /// Leaves it there when the mesh ends.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Relaxed);
    }

    /// The mesh has ended.
    pub(super) fn leave(&self) {
        if !self.is_kept.load(Relaxed) {
            // What cannot be removed is a temporary file all the same.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        self.leave();
    }
}
