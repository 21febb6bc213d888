//! A caller who waits for a place: the queue, what is heard meanwhile, and the way out (Twilio docs, `<Enqueue>`).
//!
//! [`hold`] and [`leave`] are for the queue's `waitUrl`, the only documents that run out on purpose: Twilio then asks for the
//! next one, while `<Hangup/>` would end the call.

use quick_xml::events::BytesText;

use super::{Out, clean, hang_up, response, say};

/// Has the caller wait, and asks `action` what to do once they have left the queue, however that came about.
#[derive(Clone, Copy, Debug)]
pub struct Enqueue<'a> {
    /// The queue's name, of 64 characters at most. Made on demand.
    pub queue: &'a str,
    /// Asked by POST what the caller hears, again and again.
    pub wait: &'a str,
    /// Asked by POST when the caller has left the queue.
    pub action: &'a str,
}

impl Enqueue<'_> {
    /// The document.
    pub fn to_twiml(&self) -> String {
        response(|out| {
            let queue = out.create_element("Enqueue").with_attribute(("action", clean(self.action).as_str()));
            let queue = queue.with_attribute(("method", "POST"));
            let queue = queue.with_attribute(("waitUrl", clean(self.wait).as_str()));
            queue.with_attribute(("waitUrlMethod", "POST")).write_text_content(BytesText::new(&clean(self.queue)))?;
            hang_up(out)
        })
    }
}

/// Says a sentence, unless it is empty, and plays a tune once.
pub fn hold(sentence: &str, music: &str) -> String {
    response(|out| {
        say(out, sentence)?;
        out.create_element("Play").write_text_content(BytesText::new(&clean(music)))?;
        Ok(())
    })
}

/// Takes the caller out of the queue.
pub fn leave() -> String {
    response(|out: &mut Out| {
        out.create_element("Leave").write_empty()?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_asks_two_doors_and_what_they_are_told_is_escaped() {
        let (wait, action) = ("https://h/queue-wait?agent=a&b=c", "https://h/queue-left?agent=a&b=c");
        let document = Enqueue { queue: "a", wait, action }.to_twiml();
        let expected = "<Response><Enqueue action=\"https://h/queue-left?agent=a&amp;b=c\" method=\"POST\" \
            waitUrl=\"https://h/queue-wait?agent=a&amp;b=c\" waitUrlMethod=\"POST\">a</Enqueue><Hangup/></Response>";
        assert!(document.ends_with(expected), "{document}");
    }

    #[test]
    fn what_is_heard_in_a_queue_runs_out_without_ending_the_call() {
        assert!(
            hold("Please hold.", "https://h/m.wav")
                .ends_with("<Response><Say>Please hold.</Say><Play>https://h/m.wav</Play></Response>")
        );
        assert!(hold("", "https://h/m.wav").ends_with("<Response><Play>https://h/m.wav</Play></Response>"));
        assert!(leave().ends_with("<Response><Leave/></Response>"));
    }
}
