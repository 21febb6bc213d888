//! Every metric of the edge: names, labels and buckets. The rest of the crate reports facts.

use std::time::Duration;

use http::StatusCode;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};
use tonic::Code;

use crate::{
    call::{leg::Counts, outcome::Outcome},
    limits::Limit,
};

/// Seconds. The target is 5 ms at the 99th percentile, so that is where the buckets are fine.
const HUSH_BUCKETS: [f64; 10] = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0];

/// Which door of the edge was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A call arrives.
    IncomingCall,
    /// A media stream has ended.
    StreamEnded,
    /// The attempt to reach a human is over.
    TransferResult,
    /// A human is asked whether they take a call.
    TransferWhisper,
    /// A call has got further.
    CallStatus,
    /// A media stream has.
    StreamStatus,
    /// A recording has.
    RecordingStatus,
    /// Twilio could not reach or understand the other doors.
    Failover,
    /// A caller waits.
    QueueWait,
    /// A caller has stopped waiting.
    QueueLeft,
    /// Twilio has found out whether a machine answered.
    AmdStatus,
    /// Somebody asks for a call.
    OutboundCall,
    /// A media socket.
    MediaStream,
}

impl Route {
    /// The route as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::IncomingCall => "incoming_call",
            Self::StreamEnded => "stream_ended",
            Self::TransferResult => "transfer_result",
            Self::TransferWhisper => "transfer_whisper",
            Self::CallStatus => "call_status",
            Self::StreamStatus => "stream_status",
            Self::RecordingStatus => "recording_status",
            Self::Failover => "failover",
            Self::QueueWait => "queue_wait",
            Self::QueueLeft => "queue_left",
            Self::AmdStatus => "amd_status",
            Self::OutboundCall => "outbound_call",
            Self::MediaStream => "media_stream",
        }
    }
}

/// What became of a caller who asked for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Connected: a worker holds a place.
    Stream,
    /// Handed to the human at once, or after waiting.
    Human,
    /// Asked to wait.
    Queue,
    /// Rejected with the busy tone.
    Busy,
    /// Told a sentence.
    Apology,
}

impl Admission {
    /// As a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Human => "human",
            Self::Queue => "queue",
            Self::Busy => "busy",
            Self::Apology => "apology",
        }
    }
}

/// The edge's instruments.
#[derive(Debug)]
pub struct Monitor {
    legs_live: UpDownCounter<i64>,
    legs_ended: Counter<u64>,
    webhooks: Counter<u64>,
    refused: Counter<u64>,
    limited: Counter<u64>,
    admissions: Counter<u64>,
    context_left_out: Counter<u64>,
    outbound: Counter<u64>,
    caller_frames_dropped: Counter<u64>,
    caller_keys_dropped: Counter<u64>,
    agent_slices_dropped: Counter<u64>,
    bad_frames: Counter<u64>,
    unknown_messages: Counter<u64>,
    clears: Counter<u64>,
    attach_failures: Counter<u64>,
    hush_to_clear: Histogram<f64>,
}

impl Monitor {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        let counter = |name, description| meter.u64_counter(name).with_description(description).build();
        Self {
            legs_live: meter.i64_up_down_counter("edge.legs.live").with_description("media sockets open now").build(),
            legs_ended: counter("edge.legs.ended", "media sockets that ended, by reason"),
            webhooks: counter("edge.webhooks", "requests of Twilio, by route and status"),
            refused: counter("edge.requests.refused", "requests not proven to be Twilio's, by reason"),
            limited: counter(
                "edge.limited",
                "connections, requests and calls turned away, by the limit they were over",
            ),
            admissions: counter("edge.admissions", "what became of callers before an agent spoke, by how"),
            context_left_out: counter("edge.context.left.out", "what an agent was not told of a call: it was too much"),
            outbound: counter("edge.outbound.requests", "requests for calls, by what became of them"),
            caller_frames_dropped: counter("edge.caller.frames.dropped", "caller audio the worker took too late"),
            caller_keys_dropped: counter("edge.caller.keys.dropped", "caller's keys the worker took too late"),
            agent_slices_dropped: counter("edge.agent.slices.dropped", "agent audio that came or went too late"),
            bad_frames: counter("edge.frames.bad", "media socket messages that could not be read"),
            unknown_messages: counter("edge.messages.unknown", "events of Twilio or a worker that are not known"),
            clears: counter("edge.clears", "playback buffers emptied because the caller interrupted"),
            attach_failures: counter("edge.attach.failures", "workers that did not accept a leg, by gRPC code"),
            hush_to_clear: meter
                .f64_histogram("edge.hush.to.clear")
                .with_description("from a worker's hush to the clear on the wire")
                .with_unit("s")
                .with_boundaries(HUSH_BUCKETS.to_vec())
                .build(),
        }
    }

    /// A media socket was opened.
    pub fn leg_started(&self) {
        self.legs_live.add(1, &[]);
    }

    /// A media socket's leg is over.
    pub fn leg_ended(&self, outcome: Outcome) {
        self.legs_live.add(-1, &[]);
        self.legs_ended.add(1, &[KeyValue::new("reason", outcome.label())]);
    }

    /// A request was answered.
    pub fn answered(&self, route: Route, status: StatusCode) {
        let status = KeyValue::new("status", i64::from(status.as_u16()));
        self.webhooks.add(1, &[KeyValue::new("route", route.label()), status]);
    }

    /// A request was not proven to be Twilio's.
    pub fn refused(&self, reason: &'static str) {
        self.refused.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// Somebody was turned away because a limit is reached.
    pub fn limited(&self, limit: Limit) {
        self.limited.add(1, &[KeyValue::new("limit", limit.label())]);
    }

    /// A caller was taken, or something else became of them.
    pub fn admitted(&self, how: Admission) {
        self.admissions.add(1, &[KeyValue::new("how", how.label())]);
    }

    /// So many parameters of a call did not fit.
    pub fn context_left_out(&self, count: usize) {
        self.context_left_out.add(count as u64, &[]);
    }

    /// A request for a call was answered.
    pub fn outbound(&self, result: &'static str) {
        self.outbound.add(1, &[KeyValue::new("result", result)]);
    }

    /// A leg reports what it counted.
    pub fn counted(&self, counts: Counts) {
        let Counts { caller_frames_dropped, caller_keys_dropped, agent_slices_dropped, bad_frames, unknown_messages } =
            counts;
        self.caller_frames_dropped.add(caller_frames_dropped, &[]);
        self.caller_keys_dropped.add(caller_keys_dropped, &[]);
        self.agent_slices_dropped.add(agent_slices_dropped, &[]);
        self.bad_frames.add(bad_frames, &[]);
        self.unknown_messages.add(unknown_messages, &[]);
    }

    /// A `clear` is on the wire, this long after the worker asked for it.
    pub fn cleared(&self, after: Duration) {
        self.clears.add(1, &[]);
        self.hush_to_clear.record(after.as_secs_f64(), &[]);
    }

    /// A worker ended a leg's stream without having accepted it, or let the time to do so pass.
    pub fn attach_failed(&self, code: Code) {
        self.attach_failures.add(1, &[KeyValue::new("code", format!("{code:?}"))]);
    }
}
