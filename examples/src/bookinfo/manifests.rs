//! Our own manifests, found beside the source or, if that is gone, written out anew.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// Where the manifests are in the source tree this program was built from.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bookinfo");

/// The manifests by name, as they were when this program was built.
const EMBEDDED: [(&str, &str); 5] = [
    (
        "bookinfo.yaml",
        include_str!("../../bookinfo/bookinfo.yaml"),
    ),
    (
        "destination-rules.yaml",
        include_str!("../../bookinfo/destination-rules.yaml"),
    ),
    ("gateway.yaml", include_str!("../../bookinfo/gateway.yaml")),
    ("reviews.yaml", include_str!("../../bookinfo/reviews.yaml")),
    (
        "security.yaml",
        include_str!("../../bookinfo/security.yaml"),
    ),
];

/// The directory of bookinfo's manifests: as short as the current directory allows, since people
/// read it.
pub fn directory() -> io::Result<PathBuf> {
    let source = Path::new(SOURCE);
    if source.is_dir() {
        let here = env::current_dir().ok();
        let below = here.and_then(|here| source.strip_prefix(here).ok().map(Path::to_owned));
        return Ok(below.unwrap_or_else(|| source.to_owned()));
    }
    write_out(&env::temp_dir().join(format!("bookinfo-{}", std::process::id())))
}

fn write_out(directory: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    for (name, text) in EMBEDDED {
        fs::write(directory.join(name), text)?;
    }
    Ok(directory.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever lies beside the source is embedded too; tests of it are no manifests.
    #[test]
    fn nothing_is_forgotten() {
        let files = fs::read_dir(SOURCE)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let files = files.filter_map(|name| name.into_string().ok());
        let mut files: Vec<_> = files
            .filter(|name| name.ends_with(".yaml") && !name.ends_with(".mesh-test.yaml"))
            .collect();
        files.sort();
        assert_eq!(files, EMBEDDED.map(|(name, _)| name));
        assert!(directory().unwrap().ends_with("bookinfo"));
    }
}
