//! VM sizes: how many CPUs and how much memory a node has.

/// What a size has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) cpus: u32,
    /// In bytes.
    pub(super) memory: u64,
    pub(super) gpus: u32,
}

const GIB: u64 = 1 << 30;

/// Sizes that training uses, from Microsoft's documentation of virtual machines: name, CPUs, memory in GiB, GPUs.
const SIZES: &[(&str, u32, u64, u32)] = &[
    ("STANDARD_D2_V2", 2, 7, 0),
    ("STANDARD_DS1_V2", 1, 3, 0),
    ("STANDARD_DS2_V2", 2, 7, 0),
    ("STANDARD_DS3_V2", 4, 14, 0),
    ("STANDARD_DS4_V2", 8, 28, 0),
    ("STANDARD_DS5_V2", 16, 56, 0),
    ("STANDARD_DS11_V2", 2, 14, 0),
    ("STANDARD_DS12_V2", 4, 28, 0),
    ("STANDARD_D2S_V3", 2, 8, 0),
    ("STANDARD_D4S_V3", 4, 16, 0),
    ("STANDARD_D8S_V3", 8, 32, 0),
    ("STANDARD_D16S_V3", 16, 64, 0),
    ("STANDARD_E4S_V3", 4, 32, 0),
    ("STANDARD_E8S_V3", 8, 64, 0),
    ("STANDARD_E4DS_V4", 4, 32, 0),
    ("STANDARD_F2S_V2", 2, 4, 0),
    ("STANDARD_F4S_V2", 4, 8, 0),
    ("STANDARD_F8S_V2", 8, 16, 0),
    ("STANDARD_F16S_V2", 16, 32, 0),
    ("STANDARD_NC6S_V3", 6, 112, 1),
    ("STANDARD_NC12S_V3", 12, 224, 2),
    ("STANDARD_NC24S_V3", 24, 448, 4),
    ("STANDARD_NC4AS_T4_V3", 4, 28, 1),
    ("STANDARD_NC8AS_T4_V3", 8, 56, 1),
    ("STANDARD_NC16AS_T4_V3", 16, 110, 1),
    ("STANDARD_NC24ADS_A100_V4", 24, 220, 1),
    ("STANDARD_ND96ASR_V4", 96, 900, 8),
];

/// Returns what a size has; nothing for one that the table does not know.
pub(super) fn size(name: &str) -> Option<Size> {
    let found = SIZES.iter().find(|size| size.0.eq_ignore_ascii_case(name))?;
    Some(Size { cpus: found.1, memory: found.2 * GIB, gpus: found.3 })
}

/// Returns what a container gets of a size on a machine that has this much, and what to say when it is less.
pub(super) fn fitted(name: &str, wanted: Size, cpus: u32, memory: u64) -> (Size, Option<String>) {
    let got = Size { cpus: wanted.cpus.min(cpus), memory: wanted.memory.min(memory), gpus: wanted.gpus };
    let mut less = Vec::new();
    if got.cpus < wanted.cpus {
        less.push(format!("{} of {} CPUs", got.cpus, wanted.cpus));
    }
    if got.memory < wanted.memory {
        less.push(format!("{} of {} GiB of memory", got.memory / GIB, wanted.memory / GIB));
    }
    if wanted.gpus > 0 {
        less.push(format!("none of {} GPUs", wanted.gpus));
    }
    let note =
        (!less.is_empty()).then(|| format!("this machine is smaller than a node of the size {name}: a node has {}", less.join(", ")));
    (got, note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_cut_to_what_the_machine_has_and_that_is_said() {
        let wanted = size("Standard_DS3_v2").expect("it is known");
        assert_eq!(fitted("X", wanted, 8, 64 * GIB), (wanted, None));
        let (got, note) = fitted("X", wanted, 2, 8 * GIB);
        assert_eq!((got.cpus, got.memory), (2, 8 * GIB));
        let expected = "this machine is smaller than a node of the size X: a node has 2 of 4 CPUs, 8 of 14 GiB of memory";
        assert_eq!(note.as_deref(), Some(expected));
        assert_eq!(size("STANDARD_X"), None);
    }
}
