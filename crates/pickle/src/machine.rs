//! The stack machine, without its calls.

use std::collections::HashMap;

use crate::fault::{Fault, fault};
use crate::value::{Id, Kind, Node, Object, Pickle};

/// More values than this in one pickle are refused: the largest checkpoints have some ten thousand.
pub const MOST_VALUES: usize = 1 << 20;

/// Names of modules and functions are no longer than this.
const LONGEST_NAME: usize = 256;

/// Reads a whole pickle.
///
/// # Errors
/// A fault with its place, where the bytes are no pickle or more follows it.
pub fn parse(bytes: &[u8]) -> Result<Pickle<'_>, Fault> {
    let (pickle, length) = parse_first(bytes)?;
    match bytes.len() - length {
        0 => Ok(pickle),
        further => fault(length, "the end of the file", format!("{further} further bytes")),
    }
}

/// Reads a pickle that others may follow, and how many bytes it takes.
///
/// # Errors
/// As [`parse`].
pub fn parse_first(bytes: &[u8]) -> Result<(Pickle<'_>, usize), Fault> {
    let mut machine = Machine::new(bytes);
    loop {
        machine.opcode_at = machine.at;
        let opcode = machine.take(1, "an opcode")?[0];
        if opcode == b'.' {
            let length = machine.at;
            return machine.finish().map(|pickle| (pickle, length));
        }
        machine.execute(opcode)?;
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    opcode_at: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at the marks that are open.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let (nodes, stack, marks, memo) = (Vec::new(), Vec::new(), Vec::new(), HashMap::new());
        Self { bytes, at: 0, opcode_at: 0, nodes, stack, marks, memo }
    }

    fn execute(&mut self, opcode: u8) -> Result<(), Fault> {
        match opcode {
            0x80 => self.protocol(),
            // A frame tells how many bytes to read ahead.
            0x95 => self.take(8, "the length of a frame").map(drop),
            b'(' => self.mark(),
            b'0' => self.pop().map(drop),
            b'1' => self.since_mark().map(drop),
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
                Ok(())
            }
            b'N' => self.push(Kind::None),
            0x88 => self.push(Kind::Bool(true)),
            0x89 => self.push(Kind::Bool(false)),
            b'K' | b'M' | b'J' => self.integer(opcode),
            0x8a | 0x8b => self.long(if opcode == 0x8a { 1 } else { 4 }),
            b'G' => self.float(),
            b'U' | b'C' | 0x8c => self.string(1),
            b'T' | b'X' | b'B' => self.string(4),
            0x8d | 0x8e | 0x96 => self.string(8),
            b']' => self.push(Kind::List(Vec::new())),
            b'}' => self.push(Kind::Dict(Vec::new())),
            b')' => self.push(Kind::Tuple(Vec::new())),
            0x8f => self.push(Kind::Set(Vec::new())),
            _ => self.combine(opcode),
        }
    }

    /// The opcodes that take values from the stack, or names from elsewhere.
    fn combine(&mut self, opcode: u8) -> Result<(), Fault> {
        match opcode {
            0x85..=0x87 => self.tuple_of(usize::from(opcode - 0x84)),
            b't' => self.since_mark().and_then(|items| self.push(Kind::Tuple(items))),
            b'l' => self.since_mark().and_then(|items| self.push(Kind::List(items))),
            0x91 => self.since_mark().and_then(|items| self.push(Kind::Set(items))),
            b'd' => self.since_mark().and_then(|items| {
                let entries = self.pairs(items)?;
                self.push(Kind::Dict(entries))
            }),
            b'a' => self.pop().and_then(|item| self.extend(vec![item])),
            b'e' | 0x90 => self.since_mark().and_then(|items| self.extend(items)),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.fill(vec![key, value])
            }
            b'u' => self.since_mark().and_then(|items| self.fill(items)),
            b'c' => self.global(),
            0x93 => self.stack_global(),
            b'R' | 0x81 => self.call(),
            // Arguments by name come last, and tell nothing that anybody asks for.
            0x92 => self.pop().and_then(|_| self.call()),
            b'b' => self.build(),
            b'Q' => self.pop().and_then(|id| self.push(Kind::Persistent(id))),
            b'q' => self.unsigned(1, "a memo number").and_then(|key| self.memorize(key)),
            b'r' => self.unsigned(4, "a memo number").and_then(|key| self.memorize(key)),
            0x94 => self.memorize(self.memo.len()),
            b'h' => self.unsigned(1, "a memo number").and_then(|key| self.recall(key)),
            b'j' => self.unsigned(4, "a memo number").and_then(|key| self.recall(key)),
            other => fault(self.opcode_at, "an opcode of pickle protocols 2 to 5", format!("opcode {other:#04x}")),
        }
    }

    fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8], Fault> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..len)) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => {
                fault(self.bytes.len(), format!("{what} ({len} bytes from byte {})", self.at), "the end of the file")
            }
        }
    }

    fn push(&mut self, kind: Kind<'a>) -> Result<(), Fault> {
        let count = self.nodes.len();
        if count == MOST_VALUES {
            return fault(self.opcode_at, format!("at most {MOST_VALUES} values"), "more");
        }
        self.nodes.push(Node { offset: self.opcode_at, kind });
        self.stack.push(Id(count as u32)); // Below 2^20.
        Ok(())
    }

    fn mark(&mut self) -> Result<(), Fault> {
        if self.marks.len() == MOST_VALUES {
            return fault(self.opcode_at, format!("at most {MOST_VALUES} marks"), "more");
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// The top of the stack, which must lie above the last mark.
    fn pop(&mut self) -> Result<Id, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(id) if self.stack.len() >= floor => Ok(id),
            _ => fault(self.opcode_at, "a value on the stack", "an empty stack"),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, Fault> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => fault(self.opcode_at, "a mark on the stack", "none"),
        }
    }

    fn protocol(&mut self) -> Result<(), Fault> {
        match self.take(1, "a protocol number")?[0] {
            2..=5 => Ok(()),
            other => fault(self.opcode_at, "pickle protocol 2 to 5", format!("protocol {other}")),
        }
    }

    fn integer(&mut self, opcode: u8) -> Result<(), Fault> {
        let value = match opcode {
            b'K' => i64::from(self.take(1, "a number")?[0]),
            b'M' => self.unsigned(2, "a number")? as i64,
            _ => i64::from(self.unsigned(4, "a number")? as u32 as i32),
        };
        self.push(Kind::Int(value))
    }

    /// A whole number of any length, little-endian, in two's complement.
    fn long(&mut self, width: usize) -> Result<(), Fault> {
        let len = self.unsigned(width, "the length of a number")?;
        let bytes = self.take(len, "a number")?;
        let Some(last) = bytes.last() else { return self.push(Kind::Int(0)) };
        if bytes.len() > 8 {
            return self.push(Kind::LargeInt);
        }
        let mut whole = if last & 0x80 == 0 { [0; 8] } else { [0xff; 8] };
        whole[..bytes.len()].copy_from_slice(bytes);
        self.push(Kind::Int(i64::from_le_bytes(whole)))
    }

    fn float(&mut self) -> Result<(), Fault> {
        let bytes = self.take(8, "a number")?;
        let value = f64::from_be_bytes(bytes.try_into().expect("eight bytes were taken"));
        self.push(Kind::Float(value))
    }

    fn string(&mut self, width: usize) -> Result<(), Fault> {
        let len = self.unsigned(width, "the length of a string")?;
        let bytes = self.take(len, "a string")?;
        self.push(Kind::Bytes(bytes))
    }

    fn global(&mut self) -> Result<(), Fault> {
        let module = self.line()?;
        let name = self.line()?;
        self.push(Kind::Global { module, name })
    }

    fn stack_global(&mut self) -> Result<(), Fault> {
        let (name, module) = (self.pop()?, self.pop()?);
        let text = |id: Id| match self.nodes[id.0 as usize].kind {
            Kind::Bytes(bytes) if bytes.len() <= LONGEST_NAME => std::str::from_utf8(bytes).ok(),
            _ => None,
        };
        match (text(module), text(name)) {
            (Some(module), Some(name)) => self.push(Kind::Global { module, name }),
            _ => fault(self.opcode_at, "a module and a name", "other values"),
        }
    }

    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().take(LONGEST_NAME).position(|&byte| byte == b'\n') else {
            return fault(self.at, "a name and the end of its line", "neither");
        };
        let Ok(line) = std::str::from_utf8(&rest[..len]) else {
            return fault(self.at, "a name", "bytes that are no text");
        };
        self.at += len + 1;
        Ok(line)
    }

    fn unsigned(&mut self, width: usize, what: &str) -> Result<usize, Fault> {
        let bytes = self.take(width, what)?;
        Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte)))
    }

    fn tuple_of(&mut self, count: usize) -> Result<(), Fault> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Kind::Tuple(items))
    }

    fn pairs(&self, items: Vec<Id>) -> Result<Vec<(Id, Id)>, Fault> {
        match items.len() % 2 {
            0 => Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()),
            _ => fault(self.opcode_at, "keys with values", "a key alone"),
        }
    }

    /// What the top of the stack is, to be changed where it is: wherever else it occurs it changes, too.
    fn top(&mut self) -> Result<&mut Node<'a>, Fault> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(&mut self.nodes[id.0 as usize])
    }

    fn extend(&mut self, more: Vec<Id>) -> Result<(), Fault> {
        let at = self.opcode_at;
        match &mut self.top()?.kind {
            Kind::List(items) | Kind::Set(items) | Kind::Object(Object { items, .. }) => items.extend(more),
            _ => return fault(at, "a list or a set to extend", "another value"),
        }
        Ok(())
    }

    fn fill(&mut self, items: Vec<Id>) -> Result<(), Fault> {
        let (at, more) = (self.opcode_at, self.pairs(items)?);
        match &mut self.top()?.kind {
            Kind::Dict(entries) | Kind::Object(Object { entries, .. }) => entries.extend(more),
            _ => return fault(at, "a dict to fill", "another value"),
        }
        Ok(())
    }

    fn call(&mut self) -> Result<(), Fault> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        self.push(Kind::Object(Object { function, arguments, state: None, items: Vec::new(), entries: Vec::new() }))
    }

    fn build(&mut self) -> Result<(), Fault> {
        let (at, new) = (self.opcode_at, self.pop()?);
        match &mut self.top()?.kind {
            Kind::Object(Object { state: state @ None, .. }) => *state = Some(new),
            _ => return fault(at, "an object without state", "another value"),
        }
        Ok(())
    }

    fn memorize(&mut self, key: usize) -> Result<(), Fault> {
        let id = self.pop()?;
        self.stack.push(id);
        if self.memo.len() == MOST_VALUES {
            return fault(self.opcode_at, format!("at most {MOST_VALUES} values to remember"), "more");
        }
        self.memo.insert(key as u32, id); // Four bytes at most.
        Ok(())
    }

    fn recall(&mut self, key: usize) -> Result<(), Fault> {
        match self.memo.get(&(key as u32)) {
            Some(&id) => {
                self.stack.push(id);
                Ok(())
            }
            None => fault(self.opcode_at, "a value that occurred before", format!("memo {key}, which is empty")),
        }
    }

    fn finish(mut self) -> Result<Pickle<'a>, Fault> {
        let root = self.pop()?;
        match self.stack.is_empty() && self.marks.is_empty() {
            true => Ok(Pickle { nodes: self.nodes, root }),
            false => fault(self.opcode_at, "one value", "several"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_call_is_kept_as_data() {
        // posix.system('true'), the classical attack, and the same in protocol 4.
        for bytes in [
            &b"\x80\x02cposix\nsystem\nU\x04true\x85R."[..],
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        ] {
            let pickle = parse(bytes).unwrap();
            let Kind::Object(object) = pickle.root().kind() else { panic!("{:?}", pickle.root()) };
            assert_eq!(pickle.at(object.function).global(), Some(("posix", "system")));
            assert_eq!(pickle.at(object.arguments).tuple().unwrap()[0].text(), Some("true"));
        }
    }

    #[test]
    fn deep_nesting_and_a_list_that_holds_itself_do_no_harm() {
        let mut bomb = b"\x80\x02K\x01".to_vec();
        bomb.extend(std::iter::repeat_n(0x85, 1_000_000));
        bomb.push(b'.');
        assert_eq!(parse(&bomb).unwrap().root().tuple().unwrap().len(), 1);
        let pickle = parse(b"\x80\x02]q\x00h\x00a.").unwrap();
        assert_eq!(pickle.root().list().unwrap()[0].id(), pickle.root().id());
    }

    #[test]
    fn more_values_than_any_checkpoint_has_are_refused() {
        let many = [&b"\x80\x02("[..], &vec![b'N'; MOST_VALUES], b"l."].concat();
        assert_eq!(parse(&many).unwrap_err().found, "more");
        let marks = vec![b'('; MOST_VALUES + 1];
        assert_eq!(parse(&marks).unwrap_err().expected, "at most 1048576 marks");
    }

    #[test]
    fn numbers_of_every_kind_are_read() {
        fn one(bytes: &[u8]) -> Kind<'_> {
            parse(bytes).unwrap().root().kind().clone()
        }
        assert_eq!(one(b"J\xfe\xff\xff\xff."), Kind::Int(-2));
        assert_eq!(one(b"\x8a\x00."), Kind::Int(0));
        assert_eq!(one(b"\x8a\x01\xff."), Kind::Int(-1));
        // PyTorch's magic number, ten bytes long.
        assert_eq!(one(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."), Kind::LargeInt);
        assert_eq!(one(b"G\x3f\xf8\0\0\0\0\0\0."), Kind::Float(1.5));
    }

    #[test]
    fn an_ordered_dict_is_read_like_a_dict_and_the_last_of_equal_keys_counts() {
        let pickle = parse(b"\x80\x02ccollections\nOrderedDict\n)R(U\x01aK\x01U\x01aK\x02u}U\x01mNsb.").unwrap();
        assert_eq!(pickle.root().entry("a").unwrap().integer(), Some(2));
        assert_eq!(pickle.root().entry("b").map(Value::id), None);
    }

    use crate::Value;

    #[test]
    fn other_opcodes_are_refused_with_their_place() {
        let fault = parse(b"\x80\x02K\x01\x82.").unwrap_err();
        assert_eq!((fault.offset, fault.found.as_str()), (4, "opcode 0x82"));
        assert_eq!(parse(b"\x80\x06.").unwrap_err().found, "protocol 6");
        assert_eq!(parse(b"\x80\x02K\x01.K").unwrap_err().offset, 5);
        assert_eq!(parse(b"\x80\x02T\xff\xff\xff\xffab").unwrap_err().offset, 9);
        assert_eq!(parse(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffab").unwrap_err().found, "the end of the file");
    }

    #[test]
    fn of_several_pickles_the_first_is_read_alone() {
        let (pickle, length) = parse_first(b"\x80\x02K\x01.\x80\x02K\x02.").unwrap();
        assert_eq!((pickle.root().integer(), length), (Some(1), 5));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_sequence_of_known_opcodes_makes_it_panic(
            opcodes in prop::collection::vec(
                prop::sample::select(b"(N012K]})\x85\x86\x87tldaesuRbQq\x00h\x00\x94.U\x01c\n\n\x81\x8f\x90\x91\x92\x93".to_vec()), 0..200),
        ) {
            let _ = parse(&opcodes);
        }
    }
}
