//! Rules as tables in text: a row a line, its cells between bars.

use crate::house::is_below;

/// The crates that other people build on; `examples` and `fuzz` only put them together.
pub(crate) const LIBRARIES: &str = "mesh-core mesh-routing mesh-tls mesh-ca mesh-xds mesh-proxy";

/// Something that must not occur in some places.
#[derive(Clone, Copy)]
pub(crate) struct Ban<'a> {
    pub(crate) what: &'a str,
    pub(crate) why: &'a str,
    places: &'a str,
    except: &'a str,
}

impl Ban<'_> {
    /// Whether the ban holds in the file with this path.
    pub(crate) fn holds_in(&self, path: &str) -> bool {
        let covers = |places| words(places).any(|place| is_in_place(path, place));
        covers(self.places) && !covers(self.except)
    }
}

fn is_in_place(path: &str, place: &str) -> bool {
    let is_src_of = |crates| words(crates).any(|name| is_below(path, &format!("{name}/src")));
    match place {
        "everywhere" => true,
        "libraries" => is_src_of(LIBRARIES),
        "pure" => is_src_of("mesh-core mesh-routing"),
        "programs" => is_program(path),
        folder => is_below(path, folder),
    }
}

/// Binaries, build scripts, examples, and the console of the mesh on one machine.
fn is_program(path: &str) -> bool {
    path.contains("/examples/")
        || path.ends_with("/build.rs")
        || is_below(path, "examples/src/bin")
        || path == "examples/src/local_mesh/console.rs"
}

/// Rows of: what | where | except there | why.
pub(crate) fn bans(text: &str) -> impl Iterator<Item = Ban<'_>> {
    table(text).map(|[what, places, except, why]| Ban {
        what,
        why,
        places,
        except,
    })
}

/// The rows of a table with `N` columns.
pub(crate) fn table<const N: usize>(text: &str) -> impl Iterator<Item = [&str; N]> {
    let rows = text.lines().filter(|line| !line.trim().is_empty());
    rows.map(|line| {
        let mut cells = line.split('|').map(str::trim);
        let row = [(); N].map(|()| cells.next().expect("a cell for every column"));
        assert_eq!(cells.next(), None, "more than {N} columns: {line}");
        row
    })
}

pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

#[test]
fn bans_know_their_places() {
    let check = |row: &str, path: &str, want: bool| {
        let holds = bans(row).any(|ban| ban.holds_in(path));
        assert_eq!(holds, want, "{row}: {path}");
    };
    let row = "x | mesh-proxy | mesh-proxy/src/sidecar.rs | why";
    check(row, "mesh-proxy/src/lib.rs", true);
    check(row, "mesh-proxy/src/sidecar.rs", false);
    check(row, "mesh-proxy2/src/lib.rs", false);
    check("x | pure | | why", "mesh-routing/src/lib.rs", true);
    check("x | pure | | why", "mesh-tls/src/lib.rs", false);
    check(
        "x | everywhere | programs | why",
        "mesh-tls/src/lib.rs",
        true,
    );
    check(
        "x | everywhere | programs | why",
        "mesh-tls/examples/sniff.rs",
        false,
    );
    check(
        "x | everywhere | programs | why",
        "examples/src/bin/mesh/up.rs",
        false,
    );
    check(
        "x | everywhere | programs | why",
        "examples/src/lib.rs",
        true,
    );
}
