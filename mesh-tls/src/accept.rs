//! The called side: a stream in, a secured stream and its peer out.

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsStream};

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
        let stream = bounded(TlsAcceptor::from(config).accept(io)).await?;
        let in_mesh = matches!(self.settings.security, ServerSecurity::Mesh { .. });
        let (_, connection) = stream.get_ref();
        let provider = self.context.provider();
        let peer = Peer::of(connection, connection.server_name(), in_mesh, provider);
        Ok((stream.into(), peer))
    }
}
