//! With the feature `bootstrap`: takes the descriptors of Envoy's API out of the package of
//! generated types that is compiled anyway, drops their comments, and leaves them for
//! `include_bytes!`.
//!
//! The package does not export them, so its folder is looked up: first as cargo resolves it (any
//! source, vendored ones included), then where cargo unpacks its registry.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PACKAGE: &str = "envoy-types";
const DESCRIPTORS: &str = "src/generated/types.bin";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.toml");
    if env::var_os("CARGO_FEATURE_BOOTSTRAP").is_none() {
        return Ok(());
    }
    let package = resolved(true)
        .or_else(unpacked)
        .or_else(|| resolved(false))
        .ok_or("the package envoy-types is nowhere to be found")?;
    let descriptors = package.join(DESCRIPTORS);
    println!("cargo::rerun-if-changed={}", descriptors.display());
    let set =
        fs::read(&descriptors).map_err(|error| format!("{}: {error}", descriptors.display()))?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let stripped = without_comments(&set).ok_or("the descriptors are malformed")?;
    fs::write(out.join("envoy.bin"), stripped)?;
    Ok(())
}

/// The package's folder as cargo resolves it.
fn resolved(offline: bool) -> Option<PathBuf> {
    let mut command = Command::new(env::var_os("CARGO")?);
    command
        .args(["metadata", "--format-version=1", "--filter-platform"])
        .arg(env::var_os("TARGET")?)
        .arg("--manifest-path")
        .arg(Path::new(&env::var_os("CARGO_MANIFEST_DIR")?).join("Cargo.toml"));
    if offline {
        command.arg("--offline");
    }
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, package) = text.split_once(&format!("{{\"name\":\"{PACKAGE}\",\"version\":"))?;
    let (_, path) = package.split_once("\"manifest_path\":\"")?;
    let (path, _) = path.split_once('"')?;
    let manifest = PathBuf::from(path.replace("\\\\", "\\"));
    manifest.parent().map(Path::to_owned)
}

/// The package's folder where cargo unpacks registries, for when other members of the workspace
/// have dependencies that were never downloaded.
fn unpacked() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))?;
    let name = format!("{PACKAGE}-{}", locked_version()?);
    let sources = fs::read_dir(home.join("registry/src")).ok()?;
    sources
        .filter_map(|source| Some(source.ok()?.path().join(&name)))
        .find(|package| package.join(DESCRIPTORS).is_file())
}

fn locked_version() -> Option<String> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    let lock = manifest
        .ancestors()
        .find_map(|folder| fs::read_to_string(folder.join("Cargo.lock")).ok())?;
    let (_, package) = lock.split_once(&format!("name = \"{PACKAGE}\"\nversion = \""))?;
    let (version, _) = package.split_once('"')?;
    Some(version.to_owned())
}

/// A `FileDescriptorSet` whose files (field 1) have lost their `source_code_info` (field 9).
/// Done on the bytes: typed descriptors would lose the options of extensions.
fn without_comments(set: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(set.len() / 4);
    for field in fields(set) {
        let (number, _, body) = field?;
        if number != 1 {
            continue;
        }
        let mut file = Vec::with_capacity(body.len() / 4);
        for field in fields(body) {
            let (number, whole, _) = field?;
            if number != 9 {
                file.extend_from_slice(whole);
            }
        }
        out.push(1 << 3 | 2);
        write_varint(&mut out, file.len() as u64);
        out.extend_from_slice(&file);
    }
    Some(out)
}

/// Number, all bytes, and, if it has a length, content of each field.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Option<(u64, &[u8], &[u8])>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = rest;
        let read = next_field(&mut rest).map(|(number, content)| {
            let whole = &start[..start.len() - rest.len()];
            (number, whole, content)
        });
        if read.is_none() {
            rest = &[];
        }
        Some(read)
    })
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let tag = read_varint(rest)?;
    let content = match tag & 7 {
        0 => {
            read_varint(rest)?;
            &[]
        }
        1 => take(rest, 8)?,
        2 => {
            let length = read_varint(rest)?;
            take(rest, length.try_into().ok()?)?
        }
        5 => take(rest, 4)?,
        _ => return None,
    };
    Some((tag >> 3, content))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(content)
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
