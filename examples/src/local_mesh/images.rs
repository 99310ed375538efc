//! Which program an image stands for, since nothing here runs containers.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use mesh_core::config::{TextError, decode_text};
use serde::Deserialize;

use crate::bookinfo::Kind;

/// The file beside manifests that says what their images are.
pub const FILE_NAME: &str = "local.yaml";

/// What runs in place of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// One of our own services, in this process.
    Bookinfo(Kind),
    /// A process of its own.
    Command(CommandLine),
}

/// How to start a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Where it is started: the directory of the manifests.
    pub directory: PathBuf,
}

/// Images and their programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images(BTreeMap<String, CommandLine>);

/// Why a `local.yaml` is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImagesError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It does not say what it should.
    #[error("{}: {error}", path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        error: TextError,
    },
    /// An image stands for no program.
    #[error("{}: images.{image}: a command line has at least one word", path.display())]
    NoWords {
        /// Which file.
        path: PathBuf,
        /// Which image.
        image: String,
    },
}

/// `local.yaml` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    images: BTreeMap<String, Vec<String>>,
}

impl Images {
    /// Reads the `local.yaml` of every directory that has one. Where two name the same image, the
    /// later directory wins.
    pub fn of_directories(directories: &[PathBuf]) -> Result<Self, ImagesError> {
        let mut images = Self::default();
        for directory in directories {
            let path = directory.join(FILE_NAME);
            match fs::read_to_string(&path) {
                Ok(text) => images.0.extend(Self::of_text(&path, &text)?.0),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(ImagesError::File { path, error }),
            }
        }
        Ok(images)
    }

    fn of_text(path: &Path, text: &str) -> Result<Self, ImagesError> {
        let path_buf = || path.to_owned();
        let wrong = |error| ImagesError::Text {
            path: path_buf(),
            error,
        };
        let (written, unread) = decode_text::<Written>(text).map_err(wrong)?;
        if let Some(unread) = unread.into_iter().next() {
            return Err(wrong(unread));
        }
        let directory = path.parent().unwrap_or_else(|| Path::new(""));
        let commands = written.images.into_iter().map(|(image, words)| {
            if words.is_empty() {
                let path = path_buf();
                return Err(ImagesError::NoWords { path, image });
            }
            let directory = directory.to_owned();
            Ok((image, CommandLine { words, directory }))
        });
        Ok(Self(commands.collect::<Result<_, _>>()?))
    }

    /// The program of an image: what the user says, else a service of bookinfo by its name.
    pub fn program(&self, image: &str) -> Option<Program> {
        let told = self.0.get(image).cloned().map(Program::Command);
        told.or_else(|| Kind::from_image(image).map(Program::Bookinfo))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(text: &str) -> Result<Images, String> {
        Images::of_text(Path::new("shop/local.yaml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn users_say_what_images_are() {
        let reviews = "registry.example/examples-bookinfo-reviews-v2:1.20.3";
        let command = |words: &[&str]| {
            Some(Program::Command(CommandLine {
                words: words.iter().map(|&word| word.into()).collect(),
                directory: "shop".into(),
            }))
        };
        let told = r#"images: { "my/app:1": ["python3", "app.py"], "my/db": [db] }"#;
        let check = |text: &str, image: &str, expected: Option<Program>| {
            assert_eq!(images(text).unwrap().program(image), expected, "{image}");
        };
        check(told, "my/app:1", command(&["python3", "app.py"]));
        check(told, "my/app:2", None);
        check(told, "my/db", command(&["db"]));
        let kind = Kind::from_name("reviews-v2").unwrap();
        check(told, reviews, Some(Program::Bookinfo(kind)));
        check("", reviews, Some(Program::Bookinfo(kind)));
        let other = format!("images: {{ {reviews:?}: [sh, run.sh] }}");
        check(&other, reviews, command(&["sh", "run.sh"]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let check = |text: &str, expected: &str| {
            let error = images(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("images: { a: [] }", "shop/local.yaml: images.a: ");
        check("image: { a: [b] }", "shop/local.yaml: line 1: ");
        check("images:\n  a: python3 app.py\n", "line 2: images.a: ");
    }
}
