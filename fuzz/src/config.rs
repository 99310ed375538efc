use mesh_core::{
    config::{ConfigSet, MAX_PROBLEMS, MAX_RESOURCES, parse},
    mesh::{Mesh, MeshDefaults},
};

const FILE: &str = "any.yaml";

/// A file that a user edits, saved half-way.
pub fn config_yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = parse(FILE, text);
    assert!(parsed.resources.len() <= MAX_RESOURCES);
    assert!(parsed.problems.len() <= MAX_PROBLEMS);
    let last_line = text.lines().count() as u64 + 1;
    for problem in &parsed.problems {
        assert!(u64::from(problem.source.line) <= last_line, "{problem}");
    }
    let (set, _) = ConfigSet::default().replace_file(FILE, &parsed);
    let (mesh, _) = Mesh::resolve(&set, &MeshDefaults::default());
    assert_eq!(mesh.version(), set.version());
    let (same, _) = set.replace_file(FILE, &parsed);
    assert_eq!(same.version(), set.version());
}
