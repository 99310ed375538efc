//! The calling side: a stream in, a secured stream and its peer out.

use std::net::{IpAddr, Ipv4Addr};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, TlsStream};

use crate::{
    context::TlsContext,
    handshake::{HandshakeError, PerGeneration, bounded},
    peer::Peer,
    settings::{ClientSecurity, ClientSettings, SettingsError},
};

/// Starts TLS towards one cluster.
///
/// Every handshake uses the credentials and roots that are current when it begins; connections
/// that stand are left alone by a renewal.
#[derive(Debug)]
pub struct Connector {
    settings: ClientSettings,
    server_name: Option<ServerName<'static>>,
    context: TlsContext,
    config: PerGeneration<ClientConfig>,
}

impl Connector {
    /// Makes a connector; refuses settings that could never work.
    pub fn new(settings: ClientSettings, context: TlsContext) -> Result<Self, SettingsError> {
        let server_name = settings.server_name.as_deref().map(parse).transpose()?;
        let first = settings.build(&context)?;
        let reader = match &settings.security {
            ClientSecurity::Mesh { credentials, .. } => Some(credentials.clone()),
            ClientSecurity::Bootstrap { .. } | ClientSecurity::Web { .. } => None,
        };
        Ok(Self {
            config: PerGeneration::new(reader, first),
            server_name,
            settings,
            context,
        })
    }

    /// Performs the handshake, within [`HANDSHAKE_TIMEOUT`](crate::HANDSHAKE_TIMEOUT).
    pub async fn connect<IO>(&self, io: IO) -> Result<(TlsStream<IO>, Peer), HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.handshake(io, self.server_name.clone()).await
    }

    /// The same, calling another server name than that of the settings: Istio's automatic SNI,
    /// where a request's host says which server is meant.
    pub async fn connect_to<IO>(
        &self,
        io: IO,
        server_name: &str,
    ) -> Result<(TlsStream<IO>, Peer), HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let server_name = parse(server_name)?;
        self.handshake(io, Some(server_name)).await
    }

    async fn handshake<IO>(
        &self,
        io: IO,
        server_name: Option<ServerName<'static>>,
    ) -> Result<(TlsStream<IO>, Peer), HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config.current(|| self.settings.build(&self.context))?;
        let text = server_name.as_ref().map(ServerName::to_str);
        // rustls wants a name in any case; an address is the one it does not send.
        let unsent = || ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
        let name = server_name.clone().unwrap_or_else(unsent);
        let stream = bounded(TlsConnector::from(config).connect(name, io)).await?;
        let in_mesh = !matches!(self.settings.security, ClientSecurity::Web { .. });
        let (_, connection) = stream.get_ref();
        let provider = self.context.provider();
        let peer = Peer::of(connection, text.as_deref(), in_mesh, provider);
        Ok((stream.into(), peer))
    }
}

fn parse(name: &str) -> Result<ServerName<'static>, SettingsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| SettingsError::ServerName(name.to_owned()))
}
