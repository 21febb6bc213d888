//! A whole bridge between Twilio and Bedrock: a webhook and a media socket on one side, AWS's SDK on the other. Nothing
//! in it is Offhook's or the lab's. It is honest but for the one defect that it is told to have, and keeps books of
//! what it did and how long it took.

mod books;
mod call;
mod mangle;
mod model;
mod sound;
mod twilio;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Mutex, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::{
    books::{Books, Entry},
    mangle::Mischief,
    model::Access,
};

/// How late a bridge is that is late.
const LATE: Duration = Duration::from_millis(30);

/// Which way audio goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the caller to the model.
    There,
    Back,
}

/// What a bridge does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// Sessions outlive their calls.
    LeaksSessions,
    /// Sessions are left without a word.
    LeavesSessions,
    /// The caller hears the model out.
    IgnoresInterruptions,
    Mangles(Way, Mischief),
    Delays(Way),
    ClearsLate,
    AnswersLate,
    OpensSocketsLate,
    /// Each session begins ten times as late, because a model takes its time as well.
    OpensSessionsLate,
    /// Whoever asks gets the document.
    TakesUnsignedWebhooks,
    /// Whoever knows the address gets a stream.
    TakesUnsignedSockets,
    /// Whoever has put anything where the signature belongs gets the document.
    TakesWrongSignatures,
    /// Requests to the model are signed with another secret.
    SignsWrongly,
}

impl Defect {
    /// How long what goes this way is held up.
    fn delay(self, way: Way) -> Duration {
        if self == Self::Delays(way) { LATE } else { Duration::ZERO }
    }

    fn mischief(self, way: Way) -> Option<Mischief> {
        let Self::Mangles(mangled, mischief) = self else { return None };
        (mangled == way).then_some(mischief)
    }

    /// Waits if this is what it is.
    async fn dawdle(self, what: Self) {
        if self == what {
            let long = if what == Self::OpensSessionsLate { 10 } else { 1 };
            tokio::time::sleep(LATE * long).await;
        }
    }
}

/// A bridge that serves until it is dropped.
pub(crate) struct Bridge {
    pub(crate) address: SocketAddr,
    pub(crate) books: Arc<Books>,
    _task: AbortOnDropHandle<()>,
}

/// What all calls of a bridge share.
struct Shared {
    defect: Defect,
    books: Arc<Books>,
    client: aws_sdk_bedrockruntime::Client,
    /// Sessions whose calls are over.
    leaked: Mutex<Vec<model::Leaked>>,
}

impl Bridge {
    pub(crate) async fn start(access: &Access, defect: Defect) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), access, defect).await
    }

    pub(crate) async fn on(listener: TcpListener, access: &Access, defect: Defect) -> Self {
        let address = listener.local_addr().unwrap();
        let books = Arc::<Books>::default();
        let client = model::client(access, defect).await;
        let shared = Arc::new(Shared { defect, books: books.clone(), client, leaked: Mutex::default() });
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(twilio::serve(shared.clone(), stream));
            }
        });
        Self { address, books, _task: AbortOnDropHandle::new(task) }
    }
}
