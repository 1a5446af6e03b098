//! What goes over a link: the frames that `templates/forward.py` describes.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of a frame before its data.
const HEAD: usize = 9;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// The other side listens.
    Ready,
    /// A connection was opened.
    Opened(u32),
    /// Bytes of a connection.
    Data(u32, Bytes),
    /// As many bytes of a connection were passed on.
    Taken(u32, u32),
    /// No more bytes of a connection come.
    Ended(u32),
}

impl Frame {
    /// Returns the frame as it is sent.
    pub(super) fn bytes(&self) -> Bytes {
        let (kind, number, length, data) = match self {
            Self::Ready => (b'R', 0, 0, &[][..]),
            Self::Opened(number) => (b'O', *number, 0, &[][..]),
            Self::Data(number, data) => (b'D', *number, u32::try_from(data.len()).expect("pieces are small"), &data[..]),
            Self::Taken(number, count) => (b'A', *number, *count, &[][..]),
            Self::Ended(number) => (b'C', *number, 0, &[][..]),
        };
        let mut bytes = Vec::with_capacity(HEAD + data.len());
        bytes.push(kind);
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(data);
        bytes.into()
    }

    /// Takes the next frame off the front of what has come; `None` until all of it is there. An error is what can be no frame.
    pub(super) fn take(come: &mut BytesMut) -> Result<Option<Self>, u8> {
        let Some(mut head) = come.get(..HEAD) else { return Ok(None) };
        let (kind, number, length) = (head.get_u8(), head.get_u32(), head.get_u32());
        let data = if kind == b'D' { length as usize } else { 0 };
        if come.len() < HEAD + data {
            return Ok(None);
        }
        come.advance(HEAD);
        Ok(Some(match kind {
            b'R' => Self::Ready,
            b'O' => Self::Opened(number),
            b'D' => Self::Data(number, come.split_to(data).freeze()),
            b'A' => Self::Taken(number, length),
            b'C' => Self::Ended(number),
            other => return Err(other),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_however_they_are_cut() {
        let frames =
            [Frame::Ready, Frame::Opened(1), Frame::Data(1, Bytes::from_static(b"GET /\r\n")), Frame::Taken(1, 7), Frame::Ended(1)];
        let sent: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        for piece in 1..sent.len() {
            let (mut come, mut seen) = (BytesMut::new(), Vec::new());
            for bytes in sent.chunks(piece) {
                come.extend_from_slice(bytes);
                while let Some(frame) = Frame::take(&mut come).expect("it is a frame") {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames, "{piece}");
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        assert_eq!(Frame::take(&mut BytesMut::from(&b"Traceback"[..])), Err(b'T'));
    }
}
