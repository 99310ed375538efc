use mesh_tls::{
    Sniff,
    sniff::{HttpSniff, MAX_SNIFF_LEN, sniff_http},
};

/// First bytes, in as many reads as the network likes.
pub fn sniff(data: &[u8]) {
    let data = &data[..data.len().min(MAX_SNIFF_LEN)];
    settles(data, mesh_tls::sniff, &Sniff::NeedMore);
    settles(data, sniff_http, &HttpSniff::NeedMore);
}

/// Once decided, an answer stays as bytes come in.
fn settles<T: PartialEq + std::fmt::Debug>(data: &[u8], ask: fn(&[u8]) -> T, undecided: &T) {
    let whole = ask(data);
    assert!(data.len() < MAX_SNIFF_LEN || whole != *undecided);
    let half = data.len() / 2;
    let few = 0..data.len().min(32);
    for cut in few.chain([
        half / 2,
        half,
        half + half / 2,
        data.len().saturating_sub(1),
    ]) {
        let early = ask(&data[..cut]);
        assert!(
            early == *undecided || early == whole,
            "{early:?} then {whole:?}"
        );
    }
}
