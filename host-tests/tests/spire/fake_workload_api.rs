//! A Workload API of the tests' own, for what the real one cannot be made to say: broken, late or odd messages.
//!
//! It serves `FetchX509SVID` (SPIFFE Workload API §5.2.1) over gRPC on a Unix socket, and refuses who does not send the
//! security header (SPIFFE Workload Endpoint §3).

use futures_util::{Stream, stream};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

/// The request, which says nothing.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct X509SvidRequest {}

/// The SVIDs and trust bundles of a workload.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509SvidResponse {
    /// In the order of preference.
    #[prost(message, repeated, tag = "1")]
    pub(crate) svids: Vec<X509Svid>,
    /// Revocation lists: none.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(crate) crl: Vec<Vec<u8>>,
    /// DER certificates, by the SPIFFE ID of the foreign trust domain.
    #[prost(map = "string, bytes", tag = "3")]
    pub(crate) federated_bundles: HashMap<String, Vec<u8>>,
}

/// An X.509-SVID with its trust domain's bundle.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509Svid {
    /// The SPIFFE ID.
    #[prost(string, tag = "1")]
    pub(crate) spiffe_id: String,
    /// DER certificates, leaf first.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) x509_svid: Vec<u8>,
    /// PKCS#8 DER.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) x509_svid_key: Vec<u8>,
    /// DER certificates.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) bundle: Vec<u8>,
}

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Says this, and goes on when the behaviour changes, as SPIRE does.
    Say(X509SvidResponse),
    /// Takes this long before it says the first thing.
    SayAfter(Duration, X509SvidResponse),
    /// Ends the stream after each message.
    SayAndEnd(X509SvidResponse),
    /// Ends the stream with an error.
    Fail(Code),
    /// Takes calls and says nothing.
    Hang,
}

/// A running Workload API. It ends when dropped.
pub(crate) struct FakeWorkloadApi {
    behaviour: watch::Sender<Behaviour>,
    task: JoinHandle<()>,
}

impl FakeWorkloadApi {
    /// Starts one on a socket.
    pub(crate) fn start(socket: &Path, behaviour: Behaviour) -> std::io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let (behaviour, _) = watch::channel(behaviour);
        let task = tokio::spawn(accept(listener, behaviour.clone()));
        Ok(Self { behaviour, task })
    }

    /// From now on, on streams that are open too.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }
}

impl Drop for FakeWorkloadApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: UnixListener, behaviour: watch::Sender<Behaviour>) {
    // What fails is one connection, and whoever made it sees that.
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, behaviour.subscribe()));
    }
}

async fn serve(stream: UnixStream, behaviour: watch::Receiver<Behaviour>) {
    let answer = service_fn(move |request| answer(request, behaviour.clone()));
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(
    request: hyper::Request<Incoming>,
    behaviour: watch::Receiver<Behaviour>,
) -> Result<hyper::Response<tonic::body::Body>, Infallible> {
    Ok(match request.uri().path() {
        "/SpiffeWorkloadAPI/FetchX509SVID" => {
            let codec = ProstCodec::<X509SvidResponse, X509SvidRequest>::default();
            Grpc::new(codec).server_streaming(FetchX509Svid(behaviour), request).await
        }
        path => Status::unimplemented(path).into_http(),
    })
}

struct FetchX509Svid(watch::Receiver<Behaviour>);

type Messages = Pin<Box<dyn Stream<Item = Result<X509SvidResponse, Status>> + Send>>;

impl ServerStreamingService<X509SvidRequest> for FetchX509Svid {
    type Response = X509SvidResponse;
    type ResponseStream = Messages;
    type Future = Ready<Result<Response<Messages>, Status>>;

    fn call(&mut self, request: Request<X509SvidRequest>) -> Self::Future {
        if request.metadata().get("workload.spiffe.io").is_none_or(|value| value != "true") {
            return ready(Err(Status::invalid_argument("the security header is missing")));
        }
        let (sender, mut receiver) = mpsc::channel(1);
        tokio::spawn(tell(self.0.clone(), sender));
        ready(Ok(Response::new(Box::pin(stream::poll_fn(move |context| receiver.poll_recv(context))))))
    }
}

/// Goes on until the stream ends, on either side.
async fn tell(mut behaviour: watch::Receiver<Behaviour>, messages: mpsc::Sender<Result<X509SvidResponse, Status>>) {
    loop {
        let now = behaviour.borrow_and_update().clone();
        let (message, ends) = match now {
            Behaviour::Hang => match behaviour.changed().await {
                Ok(()) => continue,
                Err(_) => return,
            },
            Behaviour::Say(message) => (Ok(message), false),
            Behaviour::SayAfter(span, message) => {
                sleep(span).await;
                (Ok(message), false)
            }
            Behaviour::SayAndEnd(message) => (Ok(message), true),
            Behaviour::Fail(code) => (Err(Status::new(code, "as the test wants it")), true),
        };
        let told = messages.send(message).await.is_ok();
        if !told || ends {
            return;
        }
        tokio::select! {
            changed = behaviour.changed() => if changed.is_err() { return },
            () = messages.closed() => return,
        }
    }
}
