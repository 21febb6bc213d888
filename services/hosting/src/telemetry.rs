//! Logs, traces and metrics of one process.
//!
//! Logs go to standard output, as JSON or for people. Traces and metrics go out by OTLP over gRPC, the one protocol that
//! is built in, when `OTEL_EXPORTER_OTLP_ENDPOINT` (or the variable of one signal) is set; the SDK itself reads the other
//! standard variables of the exporters, the sampler and the resource. Metrics can always be read as Prometheus text from
//! [`Telemetry::registry`].
//!
//! A call is one trace across processes: [`traceparent`] writes the current span down in W3C form and
//! [`continue_trace`] makes a span its child.

use std::{collections::HashMap, str::FromStr};

use opentelemetry::{
    metrics::{Meter, MeterProvider},
    propagation::TextMapPropagator,
    trace::TracerProvider,
};
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::{
    Resource, metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider,
};
use prometheus::Registry;
use tonic::metadata::MetadataMap;
use tracing::{Span, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::env::Reader;

const TRACEPARENT: &str = "traceparent";
const ENDPOINTS: [&str; 3] =
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"];

/// What to log and where to send telemetry.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// `RUST_LOG`, default `info`: which events are logged, in `tracing`'s filter syntax. Traces do not depend on it.
    pub filter: String,
    /// `LOG_FORMAT`, default `json`.
    pub format: LogFormat,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`
    /// (default unset): whether traces and metrics are sent by OTLP.
    pub otlp: bool,
    /// `OTEL_SERVICE_NAME`, default the service's own.
    pub service_name: Option<String>,
}

impl TelemetryConfig {
    /// Reads the variables.
    pub fn read(env: &mut Reader<'_>) -> Self {
        let filter = env.parsed("RUST_LOG", |filter| match EnvFilter::try_new(filter) {
            Ok(_) => Ok(filter.to_owned()),
            Err(problem) => Err(format!("expected a filter such as info,edge=debug ({problem})")),
        });
        let format = env.optional("LOG_FORMAT", "json or pretty");
        let endpoints =
            ENDPOINTS.map(|name| env.optional::<tonic::transport::Uri>(name, "a URL such as http://localhost:4317"));
        env.parsed("OTEL_EXPORTER_OTLP_PROTOCOL", |protocol| match protocol {
            "grpc" => Ok(()),
            _ => Err("expected grpc, the one protocol that is built in".to_owned()),
        });
        Self {
            filter: filter.unwrap_or_else(|| "info".to_owned()),
            format: format.unwrap_or_default(),
            otlp: endpoints.iter().any(Option::is_some),
            service_name: env.optional("OTEL_SERVICE_NAME", "a name"),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Pretty,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            _ => Err(()),
        }
    }
}

/// A process's telemetry. Call [`Telemetry::shut_down`] last, or the newest spans are lost.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Metrics only, for services that share a process with their test or with the lab's demo.
    pub fn for_metrics(service_name: &'static str) -> Self {
        Self::start_metrics(service_name.to_owned(), None)
    }

    /// Starts logs, traces and metrics for the whole process.
    ///
    /// # Errors
    /// If an exporter cannot be built, or the process already logs elsewhere.
    pub fn start(service_name: &'static str, config: &TelemetryConfig) -> anyhow::Result<Self> {
        let name = config.service_name.clone().unwrap_or_else(|| service_name.to_owned());
        let tracers = config.otlp.then(|| start_tracers(name.clone())).transpose()?;
        let exporter = config.otlp.then(|| MetricExporter::builder().with_tonic().build()).transpose()?;
        let traces = tracers.as_ref().map(|tracers| {
            tracing_opentelemetry::layer().with_tracer(tracers.tracer(service_name)).with_filter(LevelFilter::INFO)
        });
        let lines = match config.format {
            LogFormat::Json => tracing_subscriber::fmt::layer().json().flatten_event(true).boxed(),
            LogFormat::Pretty => tracing_subscriber::fmt::layer().compact().boxed(),
        };
        let lines = lines.with_filter(EnvFilter::try_new(&config.filter)?);
        tracing_subscriber::registry().with(traces).with(lines).with(discreet()).try_init()?;
        Ok(Self { tracers, ..Self::start_metrics(name, exporter) })
    }

    fn start_metrics(service_name: String, otlp: Option<MetricExporter>) -> Self {
        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .build()
            .expect("a fresh registry has no collector to clash with");
        let mut meters = SdkMeterProvider::builder().with_resource(resource(service_name)).with_reader(prometheus);
        if let Some(exporter) = otlp {
            meters = meters.with_periodic_exporter(exporter);
        }
        Self { registry, meters: meters.build(), tracers: None }
    }

    /// Makes a service's instruments.
    pub fn meter(&self, scope: &'static str) -> Meter {
        self.meters.meter(scope)
    }

    /// All metrics, for Prometheus.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Sends what is still held back. Blocks for as long as the exporters' own timeouts allow.
    pub fn shut_down(self) {
        if let Some(tracers) = self.tracers {
            report(tracers.shutdown());
        }
        report(self.meters.shutdown());
    }
}

/// Libraries on the way of the audio write whole messages into their TRACE and DEBUG events: numbers, words, tickets.
/// Whatever the filter says, only this repository's own crates may say that much.
pub fn discreet() -> Targets {
    let own = ["edge", "offhook_hosting", "sonic_worker"];
    Targets::new().with_default(LevelFilter::INFO).with_targets(own.map(|name| (name, LevelFilter::TRACE)))
}

fn start_tracers(service_name: String) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_tonic().build()?;
    Ok(SdkTracerProvider::builder().with_resource(resource(service_name)).with_batch_exporter(exporter).build())
}

fn resource(service_name: String) -> Resource {
    Resource::builder().with_service_name(service_name).build()
}

fn report(result: opentelemetry_sdk::error::OTelSdkResult) {
    if let Err(error) = result {
        tracing::warn!(%error, "telemetry was not sent whole");
    }
}

/// The span in W3C `traceparent` form, or `None` when it is not traced.
pub fn traceparent(span: &Span) -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes `span` a child of the span that `traceparent` names. Must come before the span is entered; anything but a
/// valid W3C `traceparent` is ignored.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent else { return };
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    // Fails only where no trace layer is installed or the span is already entered: there is then nothing to continue.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

/// Writes the span into gRPC metadata.
pub fn send_trace(span: &Span, metadata: &mut MetadataMap) {
    if let Some(value) = traceparent(span).and_then(|value| value.parse().ok()) {
        metadata.insert(TRACEPARENT, value);
    }
}

/// The `traceparent` in gRPC metadata.
pub fn received_trace(metadata: &MetadataMap) -> Option<&str> {
    metadata.get(TRACEPARENT)?.to_str().ok()
}
