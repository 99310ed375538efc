//! A private key is in nothing that can be printed.

use mesh_tls::{
    Acceptor, ClientSecurity, ClientSettings, Connector, Credentials, CredentialsReader,
    CredentialsWriter, ExpectedIdentities, MeshClients, ServerSecurity, ServerSettings, TlsContext,
    TlsVersions,
};

use crate::mint::Signer;

#[test]
fn keys_are_not_printed() {
    let root = Signer::root();
    let (leaf, key) = root.leaf("spiffe://td/web", |_| {});
    let secret = key.serialize_der();
    let context = TlsContext::aws_lc();
    let credentials = Credentials::from_der(
        vec![leaf],
        rustls_pki_types::PrivatePkcs8KeyDer::from(secret.clone()).into(),
        root.bundles("td"),
        context.provider(),
    )
    .unwrap();
    let reader = CredentialsReader::fixed(credentials.clone());
    let server = ServerSettings {
        alpn: vec![],
        versions: TlsVersions::Both,
        security: ServerSecurity::Mesh {
            credentials: reader.clone(),
            clients: MeshClients::Identified(ExpectedIdentities::Any),
        },
    };
    let client = ClientSettings {
        server_name: None,
        alpn: vec![],
        versions: TlsVersions::Both,
        security: ClientSecurity::Mesh {
            credentials: reader.clone(),
            servers: ExpectedIdentities::Any,
        },
    };
    let printed = [
        format!("{credentials:?}"),
        format!("{:?}", credentials.certificate()),
        format!("{reader:?}"),
        format!("{:?}", CredentialsWriter::new(credentials.clone())),
        format!("{server:?}"),
        format!("{client:?}"),
        format!("{:?}", Acceptor::new(server, context.clone()).unwrap()),
        format!("{:?}", Connector::new(client, context).unwrap()),
    ];
    // Eight bytes of the key in a row, in the two ways that Debug prints bytes.
    let piece = &secret[40..48];
    let decimal = format!("{piece:?}");
    let hexadecimal: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
    for text in printed {
        assert!(!text.contains(decimal.trim_matches(['[', ']'])), "{text}");
        assert!(!text.contains(&hexadecimal), "{text}");
    }
}
