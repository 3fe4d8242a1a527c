//! Looks at each message of an Arrow stream before the reader does. What a message says of its lengths is believed there: memory is taken for
//! it before anything has come, and a buffer that is too short for its column ends the thread. Columns that no field is made of (lists, times)
//! are refused here, too.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use arrow_ipc::{Field, Int, Precision, RecordBatch, Type, root_as_message};
use bytes::Bytes;

/// Bytes of the head of a message at most.
const MAX_HEAD_BYTES: usize = 1 << 20;
/// Bytes of the body of a message at most.
pub const MAX_MESSAGE_BYTES: u64 = 64 << 20;
/// Bytes of all dictionaries of a stream at most: they stay until its end.
const MAX_DICTIONARY_BYTES: u64 = 8 << 20;

/// Rows of a batch at most.
const MAX_BATCH_ROWS: u64 = 1 << 20;
/// What a message begins with.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Receives the body of each message before the reader does. A server reserves memory for long ones.
pub trait MessageBuffer {
    /// Gives back the memory of the last message, which was worked on.
    fn release(&mut self);

    /// Reads the body of a message of `length` bytes from `input`, or nothing of it: then the reader reads it.
    ///
    /// # Errors
    /// If it does not come whole, or there is no memory for it.
    fn collect(&mut self, input: &mut impl Read, length: u64) -> io::Result<Bytes>;
}

/// For programs: the reader reads every message.
impl MessageBuffer for () {
    fn release(&mut self) {}

    fn collect(&mut self, _input: &mut impl Read, _length: u64) -> io::Result<Bytes> {
        Ok(Bytes::new())
    }
}

/// A stream whose messages are no larger than what is taken.
pub struct ValidatingReader<R, M> {
    input: R,
    /// The head of a message, and how much of it was passed on.
    head: Vec<u8>,
    passed: usize,
    /// The body of a long message, and how much of it was passed on.
    collected: Bytes,
    /// Bytes of a short body that are still to come.
    body: u64,
    /// What the columns are made of, once the schema has come.
    columns: Option<Vec<ArrowColumn>>,
    /// Bytes of each dictionary that came.
    dictionaries: BTreeMap<i64, u64>,
    /// The memory that the message needs.
    memory: M,
}

/// What a column is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ArrowColumn {
    values: Buffers,
    /// The id of its dictionary, where its values are places in one.
    dictionary: Option<i64>,
}

/// Its buffers, behind the one that says which values are there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Buffers {
    /// Values of so many bits.
    Fixed(u64),
    /// Offsets of so many bytes, and text.
    Text(u64),
}

impl<R: Read, M: MessageBuffer> ValidatingReader<R, M> {
    /// A validating reader of `input`, which holds each message in `memory`.
    pub fn new(input: R, memory: M) -> Self {
        let (head, collected, dictionaries) = (Vec::new(), Bytes::new(), BTreeMap::new());
        Self { input, head, passed: 0, collected, body: 0, columns: None, dictionaries, memory }
    }

    /// Reads the head of the next message; nothing at the end of the stream.
    fn next_head(&mut self) -> io::Result<()> {
        self.memory.release();
        self.head.clear();
        self.passed = 0;
        let mut start = [0; 8];
        let mut read = 0;
        while read < start.len() {
            match self.input.read(&mut start[read..])? {
                0 => break,
                more => read += more,
            }
        }
        self.head.extend_from_slice(&start[..read]);
        let mark = read.min(CONTINUATION.len());
        if start[..mark] != CONTINUATION[..mark] {
            return Err(io::Error::other("is not an Arrow stream of version 1 or newer"));
        }
        if read < start.len() {
            return Ok(());
        }
        let length = i32::from_le_bytes([start[4], start[5], start[6], start[7]]);
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_HEAD_BYTES);
        let length = length.ok_or_else(|| {
            io::Error::other(format!("the head of an Arrow message is longer than {MAX_HEAD_BYTES} bytes"))
        })?;
        if length == 0 {
            return Ok(());
        }
        self.head.resize(start.len() + length, 0);
        self.input.read_exact(&mut self.head[start.len()..])?;
        let message = root_as_message(&self.head[start.len()..]);
        let message = message.map_err(|error| io::Error::other(format!("an Arrow message cannot be read: {error}")))?;
        let body = u64::try_from(message.bodyLength()).ok().filter(|body| *body <= MAX_MESSAGE_BYTES);
        let body = body.ok_or_else(|| {
            io::Error::other(format!("an Arrow message is longer than {MAX_MESSAGE_BYTES} bytes; send smaller batches"))
        })?;
        if let Some(schema) = message.header_as_schema() {
            let columns: Result<_, String> = schema.fields().into_iter().flatten().map(column).collect();
            self.columns = Some(columns.map_err(io::Error::other)?);
        }
        let columns = self.columns.as_deref().ok_or_else(|| io::Error::other("an Arrow stream begins with its schema"))?;
        if let Some(batch) = message.header_as_record_batch() {
            let buffers: Vec<Buffers> = columns.iter().map(|column| column.values).collect();
            check_batch(&batch, body, &buffers).map_err(io::Error::other)?;
        }
        if let Some(dictionary) = message.header_as_dictionary_batch() {
            let known = columns.iter().any(|column| column.dictionary == Some(dictionary.id()));
            let data = dictionary.data().filter(|_| known);
            let data = data.ok_or_else(|| io::Error::other("an Arrow dictionary belongs to no column"))?;
            check_batch(&data, body, &[Buffers::Text(4)]).map_err(io::Error::other)?;
            let length = self.dictionaries.entry(dictionary.id()).or_default();
            *length = if dictionary.isDelta() { *length + body } else { body };
            if self.dictionaries.values().sum::<u64>() > MAX_DICTIONARY_BYTES {
                let message =
                    format!("the dictionaries are longer than {MAX_DICTIONARY_BYTES} bytes; send such columns as text");
                return Err(io::Error::other(message));
            }
        }
        self.collected = self.memory.collect(&mut self.input, body)?;
        self.body = if self.collected.is_empty() { body } else { 0 };
        Ok(())
    }
}

/// What a column of the schema is made of.
fn column(field: Field) -> Result<ArrowColumn, String> {
    let name = field.name().unwrap_or_default();
    let invalid =
        || format!("the column \"{name}\" is of a type that is not taken; send numbers, text or dictionaries of text");
    let integer = |int: Int| match int.bitWidth() {
        bits @ (8 | 16 | 32 | 64) => Ok(Buffers::Fixed(bits.unsigned_abs().into())),
        _ => Err(invalid()),
    };
    let values = match field.type_type() {
        Type::Int => integer(field.type_as_int().ok_or_else(invalid)?)?,
        Type::FloatingPoint => match field.type_as_floating_point().map(|float| float.precision()) {
            Some(Precision::SINGLE) => Buffers::Fixed(32),
            Some(Precision::DOUBLE) => Buffers::Fixed(64),
            _ => return Err(invalid()),
        },
        Type::Bool => Buffers::Fixed(1),
        Type::Utf8 => Buffers::Text(4),
        Type::LargeUtf8 => Buffers::Text(8),
        _ => return Err(invalid()),
    };
    let Some(dictionary) = field.dictionary() else { return Ok(ArrowColumn { values, dictionary: None }) };
    // places are signed 32-bit numbers where nothing is said
    let places = dictionary.indexType().map_or(Ok(Buffers::Fixed(32)), integer)?;
    if values == Buffers::Text(4) {
        Ok(ArrowColumn { values: places, dictionary: Some(dictionary.id()) })
    } else {
        Err(invalid())
    }
}

/// That a batch has the buffers that its columns need, inside of its body.
fn check_batch(batch: &RecordBatch, body: u64, columns: &[Buffers]) -> Result<(), String> {
    let invalid = |what: &str| Err(format!("an Arrow batch is invalid: {what}"));
    let Ok(rows) = u64::try_from(batch.length()) else { return invalid("its length is below 0") };
    if rows > MAX_BATCH_ROWS {
        return invalid(&format!("it has more than {MAX_BATCH_ROWS} rows; send smaller ones"));
    }
    if batch.compression().is_some() {
        return invalid("it is compressed; send it as it is");
    }
    let nodes: Vec<_> = batch.nodes().iter().flatten().collect();
    if nodes.len() != columns.len() {
        return invalid("it has not as many columns as the schema");
    }
    for node in nodes {
        if node.length() != batch.length() || !(0..=node.length()).contains(&node.null_count()) {
            return invalid("a column has another length");
        }
    }
    let mut lengths = Vec::new();
    for buffer in batch.buffers().iter().flatten() {
        let (offset, length) = (u64::try_from(buffer.offset()), u64::try_from(buffer.length()));
        let (Ok(offset), Ok(length)) = (offset, length) else { return invalid("a buffer lies before its body") };
        if offset.checked_add(length).is_none_or(|end| end > body) {
            return invalid("a buffer lies outside of its body");
        }
        lengths.push(length);
    }
    // a part of the body that several columns share would be copied for each
    if lengths.iter().sum::<u64>() > body {
        return invalid("its buffers overlap");
    }
    let mut lengths = lengths.into_iter();
    for column in columns {
        let mut next = || lengths.next().ok_or("a buffer is missing");
        let there = next()?;
        if there > 0 && there < rows.div_ceil(8) {
            return invalid("a buffer is too short");
        }
        let (needed, unit) = match column {
            Buffers::Fixed(1) => (rows.div_ceil(8), 1),
            Buffers::Fixed(bits) => (rows * bits / 8, bits / 8),
            Buffers::Text(bytes) => (if rows == 0 { 0 } else { (rows + 1) * bytes }, *bytes),
        };
        let length = next()?;
        if length < needed || length % unit != 0 {
            return invalid("a buffer is too short");
        }
        if matches!(column, Buffers::Text(_)) {
            next()?;
        }
    }
    if lengths.next().is_some() { invalid("it has more buffers than its columns need") } else { Ok(()) }
}

impl<R: Read, M: MessageBuffer> Read for ValidatingReader<R, M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.passed == self.head.len() && !self.collected.is_empty() {
            let read = self.collected.len().min(buffer.len());
            buffer[..read].copy_from_slice(&self.collected.split_to(read));
            if self.collected.is_empty() {
                // the buffer is freed with its last part
                self.collected = Bytes::new();
            }
            return Ok(read);
        }
        if self.passed == self.head.len() && self.body > 0 {
            let most = buffer.len().min(usize::try_from(self.body).unwrap_or(usize::MAX));
            let read = self.input.read(&mut buffer[..most])?;
            self.body -= read as u64;
            return Ok(read);
        }
        if self.passed == self.head.len() {
            self.next_head()?;
        }
        let rest = &self.head[self.passed..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.passed += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, types::Int8Type};
    use arrow_ipc::{reader::StreamReader, writer::StreamWriter};

    use super::*;

    fn stream() -> Vec<u8> {
        let columns: [(&str, arrow_array::ArrayRef); 4] = [
            ("a", Arc::new(Float64Array::from(vec![Some(1.0), None, Some(3.0)]))),
            ("b", Arc::new(Int32Array::from(vec![1, 2, 3]))),
            ("c", Arc::new(StringArray::from(vec![Some("x"), Some("yz"), None]))),
            ("d", Arc::new(DictionaryArray::<Int8Type>::from_iter([Some("p"), Some("q"), Some("p")]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn rows(bytes: &[u8]) -> Result<usize, String> {
        let reader = StreamReader::try_new(ValidatingReader::new(bytes, ()), None).map_err(|error| error.to_string())?;
        let batches: Result<Vec<_>, _> = reader.collect();
        Ok(batches.map_err(|error| error.to_string())?.iter().map(RecordBatch::num_rows).sum())
    }

    #[test]
    fn a_stream_passes_and_no_altered_one_does_harm() {
        let sound = stream();
        assert_eq!(rows(&sound), Ok(6));
        for place in 0..sound.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut altered = sound.clone();
                altered[place] = value;
                // it may be read or refused
                let _ = rows(&altered);
            }
            let _ = rows(&sound[..place]);
        }
        let mut long = sound.clone();
        long[4..8].copy_from_slice(&i32::MAX.to_le_bytes());
        assert!(rows(&long).unwrap_err().contains("the head of an Arrow message is longer than 1048576 bytes"));
        for other in [&b"{\"a\": 1}  "[..], b"a\n1\n", b"{"] {
            assert!(rows(other).unwrap_err().contains("is not an Arrow stream"));
        }
    }
    #[test]
    fn buffers_that_share_a_body_are_refused() {
        let sound = stream();
        let pair = |offset: i64, length: i64| [offset.to_le_bytes(), length.to_le_bytes()].concat();
        // the first buffer of a batch says which of three values are there
        let place = sound.windows(16).position(|window| window == pair(0, 1)).expect("the first buffer");
        let refusals: Vec<String> = (64..4096)
            .step_by(64)
            .filter_map(|length| {
                let mut altered = sound.clone();
                altered[place..place + 16].copy_from_slice(&pair(0, length));
                rows(&altered).err()
            })
            .collect();
        assert!(
            refusals.iter().any(|refusal| refusal.contains("an Arrow batch is invalid: its buffers overlap")),
            "{refusals:?}"
        );
    }
}
