//! A bare axum server that says hello: what the speed of `serve` is measured against. Run `hello HOST:PORT`.

use axum::{Router, routing::get};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8200".to_owned());
    let router = Router::new().route("/", get(|| async { "hello" }));
    axum::serve(TcpListener::bind(address).await?, router).await
}
