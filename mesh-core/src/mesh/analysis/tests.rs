use std::{collections::BTreeSet, fs, path::PathBuf};

use super::*;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/analysis")
}

/// The cases: names of codes with their texts.
fn cases() -> Vec<(String, String)> {
    let files = fs::read_dir(directory()).unwrap();
    let mut cases: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| {
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                path,
            )
        })
        .filter(|(name, _)| name != "town")
        .map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
        .collect();
    cases.sort();
    cases
}

fn town() -> String {
    fs::read_to_string(directory().join("town.yaml")).unwrap()
}

/// Line and code of everything that a case's comments want reported.
fn wanted(text: &str) -> BTreeSet<(u32, String)> {
    let lines = text.lines().zip(1..);
    let comments = lines.filter_map(|(line, number)| Some((line.split_once(" # ")?.1, number)));
    comments
        .flat_map(|(comment, line)| comment.split(' ').map(move |word| (line, word.to_owned())))
        .filter(|(_, word)| word.starts_with("IST0") || word.starts_with("MESH0"))
        .collect()
}

#[test]
fn every_code_is_reported_where_it_must_be_and_nowhere_else() {
    let town = town();
    for (name, text) in cases() {
        let files = [("town.yaml", &*town), ("case.yaml", &*text)];
        let mut problems = analyze_files(files, &MeshDefaults::default());
        problems.retain(|problem| !problem.reason.ends_with("not supported yet"));
        let listed: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let found: BTreeSet<_> = problems
            .iter()
            .map(|problem| {
                assert_eq!(&*problem.source.file, "case.yaml", "{name}: {problem}");
                let code = problem.code.map_or("none", Code::id);
                (problem.source.line, code.to_owned())
            })
            .collect();
        assert_eq!(found, wanted(&text), "{name}: {listed:#?}");
        assert!(
            wanted(&text).iter().any(|(_, code)| *code == name),
            "{name} is not in its file"
        );
        assert!(
            text.contains("{name: fine"),
            "{name} has no case of what is fine"
        );
        for problem in &problems {
            let of = problem.resource.as_ref();
            let is_fine = of.is_some_and(|of| of.name.starts_with("fine"));
            assert!(!is_fine, "{name}: {problem}");
        }
    }
}

#[test]
fn every_code_has_a_case() {
    let cases: BTreeSet<_> = cases().into_iter().map(|(name, _)| name).collect();
    for code in Code::ALL {
        // A file cannot hold two of a resource; the others are about kinds that are not read yet.
        let elsewhere = [Code::WrittenTwice];
        assert!(
            elsewhere.contains(code) || cases.contains(code.id()),
            "{code} has no case"
        );
    }
    assert!(Code::ALL.is_sorted_by_key(|code| (code.id().len(), code.id())));
}
