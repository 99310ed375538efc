//! Files of configuration, in directories and below.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Files of tests are no configuration.
const TESTS: [&str; 2] = [".mesh-test.yaml", ".mesh-test.yml"];
/// Directories nested deeper than this are taken for a loop of links.
const MAX_DEPTH: usize = 32;

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its path, as short as it was asked for.
    pub name: String,
    /// What it says.
    pub text: String,
    /// Whether it holds tests rather than configuration, by its name.
    pub is_test: bool,
}

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct ReadError {
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// Every `.yaml`, `.yml` and `.json` in the paths, directories with all that is below them, in the
/// order of their names. What is hidden is left out.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Written>, ReadError> {
    let mut found = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => below(path, 0, &mut found)?,
            false => found.push(path.clone()),
        }
    }
    found.sort();
    found.dedup();
    let text = |path: PathBuf| {
        let name = path.display().to_string();
        let is_test = TESTS.iter().any(|ending| name.ends_with(ending));
        match fs::read(&path) {
            // What is not UTF-8 is told with its line, like everything else that is wrong.
            Ok(bytes) => Ok(Written {
                name,
                text: String::from_utf8_lossy(&bytes).into_owned(),
                is_test,
            }),
            Err(error) => Err(ReadError { path, error }),
        }
    };
    found.into_iter().map(text).collect()
}

fn below(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), ReadError> {
    let failed = |error| ReadError {
        path: directory.to_owned(),
        error,
    };
    if depth > MAX_DEPTH {
        return Err(failed(io::Error::other(format!(
            "more than {MAX_DEPTH} directories deep"
        ))));
    }
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            below(&path, depth + 1, found)?;
        } else if ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_with_what_is_below() {
        let root = std::env::temp_dir().join(format!("mesh-offline-{}", std::process::id()));
        fs::create_dir_all(root.join("b/.git")).unwrap();
        for name in [
            "c.yaml",
            "b/a.yml",
            "b/notes.txt",
            "b/.git/x.yaml",
            "a.mesh-test.yaml",
        ] {
            fs::write(root.join(name), name).unwrap();
        }
        let files = read(std::slice::from_ref(&root)).unwrap();
        let brief: Vec<_> = files
            .iter()
            .map(|file| (&*file.text, file.is_test))
            .collect();
        let want = [
            ("a.mesh-test.yaml", true),
            ("b/a.yml", false),
            ("c.yaml", false),
        ];
        assert_eq!(brief, want);
        fs::remove_dir_all(&root).unwrap();
        let error = read(&[root]).unwrap_err().to_string();
        assert!(error.contains("mesh-offline-"), "{error}");
    }
}
