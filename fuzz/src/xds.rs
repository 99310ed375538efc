use mesh_core::dataplane::ResourceType;
use mesh_xds::codec::{decode, encode, type_url};

/// A resource from a control plane: a byte that chooses its type, then its protobuf.
pub fn xds_decode(data: &[u8]) {
    let Some((&kind, value)) = data.split_first() else {
        return;
    };
    let kind = match kind {
        b'c' => ResourceType::Cluster,
        b'e' => ResourceType::Endpoints,
        b'l' => ResourceType::Listener,
        b'r' => ResourceType::Routes,
        b's' => ResourceType::Secret,
        _ => return check(data),
    };
    let mut any = Vec::new();
    put(&mut any, 1, type_url(kind).as_bytes());
    put(&mut any, 2, value);
    check(&any);
}

/// What is accepted is the same after a journey.
fn check(bytes: &[u8]) {
    let Ok(first) = decode(bytes) else {
        return;
    };
    if !first.is_accepted() {
        return;
    }
    let sent = encode(&first.resource);
    let second = decode(&sent).expect("what was accepted has a name and a type");
    let refusals: Vec<_> = second.refusals().collect();
    assert!(refusals.is_empty(), "{refusals:?}");
    assert_eq!(second.resource, first.resource);
}

/// Appends a length-delimited field.
fn put(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    const LENGTH_DELIMITED: u8 = 2;
    message.push(number << 3 | LENGTH_DELIMITED);
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(bytes);
}
