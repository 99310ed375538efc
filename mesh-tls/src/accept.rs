//! The called side: a stream in, a secured stream and its peer out.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    server::{Acceptor as RustlsAcceptor, ClientHello},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{LazyConfigAcceptor, TlsStream};

use crate::{
    context::TlsContext,
    handshake::{HandshakeError, PerGeneration, bounded},
    peer::Peer,
    settings::{ServerSecurity, ServerSettings, SettingsError},
};

/// Ends TLS for one listener or filter chain.
///
/// Every handshake uses the credentials and roots that are current when it begins; connections
/// that stand are left alone by a renewal. Whether a connection is TLS at all has been decided
/// before, by [`sniff`](crate::sniff()) and the choice of a filter chain.
#[derive(Debug)]
pub struct Acceptor {
    settings: ServerSettings,
    context: TlsContext,
    config: PerGeneration<ServerConfig>,
}

impl Acceptor {
    /// Makes an acceptor; refuses settings that could never serve.
    pub fn new(settings: ServerSettings, context: TlsContext) -> Result<Self, SettingsError> {
        let first = settings.build(&context)?;
        let reader = match &settings.security {
            ServerSecurity::Mesh { credentials, .. } => Some(credentials.clone()),
            ServerSecurity::Web { .. } => None,
        };
        Ok(Self {
            config: PerGeneration::new(reader, first),
            settings,
            context,
        })
    }

    /// Performs the handshake, within [`HANDSHAKE_TIMEOUT`](crate::HANDSHAKE_TIMEOUT).
    pub async fn accept<IO>(&self, io: IO) -> Result<(TlsStream<IO>, Peer), HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config.current(|| self.settings.build(&self.context))?;
        let in_mesh = matches!(self.settings.security, ServerSecurity::Mesh { .. });
        let stream = bounded(async {
            let hello = LazyConfigAcceptor::new(RustlsAcceptor::default(), io).await?;
            let config = match in_mesh {
                true => agreeable(config, &hello.client_hello()),
                false => config,
            };
            hello.into_stream(config).await
        })
        .await?;
        let (_, connection) = stream.get_ref();
        let provider = self.context.provider();
        let peer = Peer::of(connection, connection.server_name(), in_mesh, provider);
        Ok((stream.into(), peer))
    }
}

/// A configuration without application protocols, if the client offers only ones that we do not
/// speak.
///
/// RFC 7301, section 3.2, would have us refuse. Envoy carries on without a protocol, and Istio
/// counts on it: a sidecar offers `istio` to whatever workload it calls. Outside the mesh the RFC
/// is followed.
fn agreeable(config: Arc<ServerConfig>, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
    let spoken = |offered: &[u8]| config.alpn_protocols.iter().any(|ours| ours == offered);
    if hello.alpn().is_none_or(|mut offered| offered.any(spoken)) {
        return config;
    }
    let mut silent = ServerConfig::clone(&config);
    silent.alpn_protocols.clear();
    Arc::new(silent)
}
