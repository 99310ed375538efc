use mesh_core::identity::SpiffeId;

/// A workload's name, as a certificate or a policy may claim it.
pub fn spiffe_id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(id) = text.parse::<SpiffeId>() else {
        return;
    };
    assert_eq!(id.to_string(), text);
    assert!(text.len() <= SpiffeId::MAX_LEN);
    assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
    assert_eq!(format!("spiffe://{}", id.principal()), text);
    if let Some(name) = id.workload() {
        let again =
            SpiffeId::for_service_account(id.trust_domain(), name.namespace, name.service_account);
        assert_eq!(again.as_ref(), Ok(&id));
    }
}
