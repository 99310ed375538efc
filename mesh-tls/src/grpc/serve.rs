use tonic::{service::Routes, transport::Server};

use super::Incoming;

/// Serves gRPC services to accepted connections. Ends when it is dropped, while connections that
/// stand end with the runtime.
pub async fn serve(incoming: Incoming, services: Routes) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .add_routes(services)
        .serve_with_incoming(incoming)
        .await
}
