//! Makes the many small words of a pull readable: a line for a layer that is through, and a sum now and then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::engine::PullProgress;
use crate::support::words::Size;

/// How long nothing is said while bytes flow.
const PAUSE: Duration = Duration::from_secs(2);

/// What is known of one layer.
#[derive(Debug, Default)]
struct Layer {
    /// Bytes that have come, and of how many.
    bytes: (u64, u64),
    is_through: bool,
}

/// The layers of one image on their way.
#[derive(Debug)]
pub(super) struct Layers {
    layers: BTreeMap<String, Layer>,
    said: Instant,
}

impl Layers {
    /// Begins at a time.
    pub(super) fn new(now: Instant) -> Self {
        Self { layers: BTreeMap::new(), said: now }
    }

    /// Takes in what the engine says, and returns a line when there is something to tell.
    pub(super) fn hear(&mut self, step: &PullProgress, now: Instant) -> Option<String> {
        let name = step.layer.as_ref()?;
        let word = match step.status.as_str() {
            // Its bytes count once: what is unpacked had come before.
            "Pulling fs layer" | "Waiting" | "Downloading" | "Verifying Checksum" | "Download complete" | "Extracting" => None,
            "Pull complete" => Some("pulled"),
            "Already exists" => Some(""),
            // Of the image, not of a layer.
            _ => return None,
        };
        let layer = self.layers.entry(name.clone()).or_default();
        if let (Some((done, all)), "Downloading") = (step.bytes, step.status.as_str()) {
            layer.bytes = (done.min(all), all);
        }
        match word {
            Some(word) if !layer.is_through => {
                layer.is_through = true;
                layer.bytes.0 = layer.bytes.1;
                let size = if layer.bytes.1 > 0 { format!(", {}", Size(layer.bytes.1)) } else { String::new() };
                self.said = now;
                (!word.is_empty()).then(|| format!("layer {name} {word}{size}; {}", self.count()))
            }
            None if step.bytes.is_some() && now.duration_since(self.said) >= PAUSE => {
                self.said = now;
                let (done, all) = self.layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.bytes.0, sum.1 + layer.bytes.1));
                Some(format!("{} of {}; {}", Size(done), Size(all), self.count()))
            }
            _ => None,
        }
    }

    fn count(&self) -> String {
        let through = self.layers.values().filter(|layer| layer.is_through).count();
        format!("{through} of {} layers", self.layers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_told_when_it_is_through_and_a_sum_now_and_then() {
        let begun = Instant::now();
        let mut layers = Layers::new(begun);
        let mut hear = |seconds: u64, layer: Option<&str>, status: &str, bytes: Option<(u64, u64)>| {
            let step = PullProgress { layer: layer.map(str::to_owned), status: status.to_owned(), bytes };
            layers.hear(&step, begun + Duration::from_secs(seconds))
        };
        assert_eq!(hear(0, Some("1"), "Pulling from team/image", None), None);
        for layer in ["aa", "bb", "cc"] {
            assert_eq!(hear(0, Some(layer), "Pulling fs layer", None), None);
        }
        assert_eq!(hear(0, Some("cc"), "Already exists", None), None);
        assert_eq!(hear(1, Some("aa"), "Downloading", Some((1024, 4096))), None);
        assert_eq!(hear(3, Some("bb"), "Downloading", Some((512, 1024))).as_deref(), Some("1.5 KiB of 5.0 KiB; 1 of 3 layers"));
        assert_eq!(hear(3, Some("aa"), "Extracting", Some((1, 9999))), None);
        assert_eq!(hear(4, Some("aa"), "Pull complete", None).as_deref(), Some("layer aa pulled, 4.0 KiB; 2 of 3 layers"));
        assert_eq!(hear(4, Some("aa"), "Pull complete", None), None);
        assert_eq!(hear(9, None, "Status: Downloaded newer image", None), None);
    }
}
