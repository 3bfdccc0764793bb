//! What is counted of every request. The handles are made once: looking a metric up by name and labels costs more
//! than a small request should.
//! Invariant: no label comes from outside.

use axum::http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};
use std::time::Duration;

/// Requests by outcome and the time they took.
pub struct Meters {
    /// 1xx to 5xx.
    classes: [Counter; 5],
    seconds: Histogram,
}

impl Meters {
    pub fn new() -> Self {
        metrics::describe_counter!("stoa_http_requests_total", "HTTP requests answered, by class of status.");
        metrics::describe_histogram!(
            "stoa_http_request_seconds",
            metrics::Unit::Seconds,
            "Time from the head of a request to the head of its answer."
        );
        Meters {
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| counter!("stoa_http_requests_total", "status" => class)),
            seconds: histogram!("stoa_http_request_seconds"),
        }
    }

    pub fn answered(&self, status: StatusCode, took: Duration) {
        if let Some(class) = usize::from(status.as_u16() / 100).checked_sub(1).and_then(|class| self.classes.get(class))
        {
            class.increment(1);
        }
        self.seconds.record(took);
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn answers_are_counted_by_class() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let meters = metrics::with_local_recorder(&recorder, Meters::new);
        for status in [200, 204, 404, 503, 999] {
            meters.answered(StatusCode::from_u16(status).expect("a status"), Duration::from_millis(2));
        }
        let shown = recorder.handle().render();
        for line in ["{status=\"2xx\"} 2", "{status=\"4xx\"} 1", "{status=\"5xx\"} 1"] {
            assert!(shown.contains(&format!("stoa_http_requests_total{line}\n")), "{line}: {shown}");
        }
        assert!(shown.contains("stoa_http_request_seconds_count 5\n"), "{shown}");
    }
}
