//! The agent's telemetry channel. Frames of the agent carry a signed header block before the JSON; frames of the control
//! plane are plain JSON. For now the session stands and is acknowledged; what it carries is not kept.

use serde_json::{Value, json};

/// The control plane's answer to a frame of an agent; `None`: nothing is answered.
pub fn answer(frame: &str) -> Option<String> {
    let body = match frame.starts_with('{') {
        true => frame,
        false => frame.split_once("\r\n\r\n")?.1,
    };
    let envelope: Value = serde_json::from_str(body).ok()?;
    let ack = match envelope.get("type")?.as_str()? {
        "PublishMetricsRequest" => "AckPublishMetric",
        "PublishHealthRequest" => "AckPublishHealth",
        "PublishInstanceStatusRequest" => "AckPublishInstanceStatus",
        _ => return None,
    };
    Some(json!({"type": ack, "message": {"message": "received"}}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishes_are_acknowledged_with_and_without_headers() {
        let bare = r#"{"type":"PublishHealthRequest","message":{}}"#;
        let signed = format!("Authorization: x\r\nHost: y\r\n\r\n{bare}");
        for frame in [bare, &signed] {
            assert!(answer(frame).unwrap().contains("AckPublishHealth"));
        }
        for frame in ["", "{", "Host: x", r#"{"type":"Other"}"#] {
            assert_eq!(answer(frame), None);
        }
    }
}
