//! A reader for the pickles of CIFAR-10's python layout.
//!
//! A pickle is a program for a stack machine that may call any Python function. This reader runs none: calls are kept
//! as data, and all but the few opcodes that the official files hold are refused. Words: protocol 2 is the format; a
//! *global* names a Python object; *reduce* calls one; *build* hands an object its state; the *memo* lets a value occur
//! twice.

use std::collections::HashMap;

/// How deep values may lie within each other; the official files need five.
const DEEPEST: u8 = 16;

/// A fault in a pickle.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) expected: String,
    pub(crate) found: String,
}

fn fault<T>(offset: usize, expected: impl ToString, found: impl ToString) -> Result<T, Fault> {
    Err(Fault { offset, expected: expected.to_string(), found: found.to_string() })
}

/// A value, with the offset of the opcode that made it.
#[derive(Debug)]
pub(crate) struct Value<'a> {
    pub(crate) offset: usize,
    depth: u8,
    pub(crate) kind: Kind<'a>,
}

/// What a value is. Strings are bytes: Python 2, which wrote the files, did not tell the two apart.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    None,
    Bool(bool),
    Int(i64),
    Bytes(&'a [u8]),
    Global {
        module: &'a str,
        name: &'a str,
    },
    List(Vec<Value<'a>>),
    Tuple(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// What a call would return, and the state that it would be handed.
    Call {
        function: Box<Value<'a>>,
        arguments: Box<Value<'a>>,
        state: Option<Box<Value<'a>>>,
    },
}

impl<'a> Value<'a> {
    /// The entry of a dict under a string.
    pub(crate) fn entry(&self, key: &str) -> Option<&Value<'a>> {
        let Kind::Dict(entries) = &self.kind else { return None };
        entries
            .iter()
            .find(|(name, _)| matches!(name.kind, Kind::Bytes(bytes) if bytes == key.as_bytes()))
            .map(|e| &e.1)
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::None => "None",
            Kind::Bool(_) => "a truth value",
            Kind::Int(_) => "a number",
            Kind::Bytes(_) => "a string",
            Kind::Global { .. } => "a reference to Python code",
            Kind::List(_) => "a list",
            Kind::Tuple(_) => "a tuple",
            Kind::Dict(_) => "a dict",
            Kind::Call { .. } => "an object",
        }
    }

    fn hold(&mut self, depth: u8, offset: usize) -> Result<(), Fault> {
        self.depth = self.depth.max(depth + 1);
        if self.depth > DEEPEST { fault(offset, "a value of CIFAR-10's files", "deeply nested values") } else { Ok(()) }
    }
}

/// Reads a whole pickle.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value<'_>, Fault> {
    let mut machine =
        Machine { bytes, at: 0, opcode_at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        machine.opcode_at = machine.at;
        let opcode = machine.take(1, "an opcode")?[0];
        if opcode == b'.' {
            return machine.finish();
        }
        machine.execute(opcode)?;
    }
}

/// What the memo keeps. A container in two places could hold itself; the official files have none.
#[derive(Clone, Copy)]
enum Memorized<'a> {
    Bytes(&'a [u8]),
    Global { module: &'a str, name: &'a str },
    Other,
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    opcode_at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at the marks that are open.
    marks: Vec<usize>,
    memo: HashMap<u32, Memorized<'a>>,
}

impl<'a> Machine<'a> {
    fn execute(&mut self, opcode: u8) -> Result<(), Fault> {
        match opcode {
            0x80 => self.protocol(),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'N' => self.push(Kind::None),
            0x88 => self.push(Kind::Bool(true)),
            0x89 => self.push(Kind::Bool(false)),
            b'K' | b'M' | b'J' => self.integer(opcode),
            b'U' | b'T' | b'X' | b'C' | b'B' => self.string(opcode),
            b'c' => self.global(),
            b']' => self.push(Kind::List(Vec::new())),
            b'}' => self.push(Kind::Dict(Vec::new())),
            b')' => self.push(Kind::Tuple(Vec::new())),
            0x85..=0x87 => self.tuple_of(usize::from(opcode - 0x84)),
            b't' => {
                let items = self.since_mark()?;
                self.push_tuple(items)
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])
            }
            b'e' => {
                let items = self.since_mark()?;
                self.extend_list(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(vec![key, value])
            }
            b'u' => {
                let items = self.since_mark()?;
                self.extend_dict(items)
            }
            b'R' => self.reduce(),
            b'b' => self.build(),
            b'q' | b'r' => self.memorize(opcode),
            b'h' | b'j' => self.recall(opcode),
            other => fault(
                self.opcode_at,
                "an opcode of CIFAR-10's files (pickle protocol 2)",
                format!("opcode {other:#04x}"),
            ),
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
        self.stack.push(Value { offset: self.opcode_at, depth: 0, kind });
        Ok(())
    }

    /// The top of the stack, which must lie above the last mark.
    fn pop(&mut self) -> Result<Value<'a>, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(value) if self.stack.len() >= floor => Ok(value),
            _ => fault(self.opcode_at, "a value on the stack", "an empty stack"),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Value<'a>>, Fault> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => fault(self.opcode_at, "a mark on the stack", "none"),
        }
    }

    fn protocol(&mut self) -> Result<(), Fault> {
        match self.take(1, "a protocol number")?[0] {
            2 | 3 => Ok(()),
            other => fault(self.opcode_at, "pickle protocol 2", format!("protocol {other}")),
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

    fn string(&mut self, opcode: u8) -> Result<(), Fault> {
        let width = if matches!(opcode, b'U' | b'C') { 1 } else { 4 };
        let len = self.unsigned(width, "the length of a string")?;
        let bytes = self.take(len, "a string")?;
        self.push(Kind::Bytes(bytes))
    }

    fn global(&mut self) -> Result<(), Fault> {
        let module = self.line()?;
        let name = self.line()?;
        self.push(Kind::Global { module, name })
    }

    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().take(256).position(|&byte| byte == b'\n') else {
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
        self.push_tuple(items)
    }

    fn push_tuple(&mut self, items: Vec<Value<'a>>) -> Result<(), Fault> {
        let depth = deepest(&items);
        self.push(Kind::Tuple(items))?;
        self.hold(depth)
    }

    /// The top of the stack takes values of that depth.
    fn hold(&mut self, depth: u8) -> Result<(), Fault> {
        let offset = self.opcode_at;
        self.stack.last_mut().map_or(Ok(()), |top| top.hold(depth, offset))
    }

    fn extend_list(&mut self, items: Vec<Value<'a>>) -> Result<(), Fault> {
        let depth = deepest(&items);
        let mut list = self.pop()?;
        let Kind::List(held) = &mut list.kind else {
            return fault(self.opcode_at, "a list to append to", list.describe());
        };
        held.extend(items);
        self.stack.push(list);
        self.hold(depth)
    }

    fn extend_dict(&mut self, items: Vec<Value<'a>>) -> Result<(), Fault> {
        let depth = deepest(&items);
        let mut dict = self.pop()?;
        let Kind::Dict(held) = &mut dict.kind else {
            return fault(self.opcode_at, "a dict to insert into", dict.describe());
        };
        let mut items = items.into_iter();
        while let Some(key) = items.next() {
            let Some(value) = items.next() else {
                return fault(self.opcode_at, "keys with values", "a key alone");
            };
            held.push((key, value));
        }
        self.stack.push(dict);
        self.hold(depth)
    }

    fn reduce(&mut self) -> Result<(), Fault> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let depth = arguments.depth.max(function.depth);
        self.push(Kind::Call { function: Box::new(function), arguments: Box::new(arguments), state: None })?;
        self.hold(depth)
    }

    fn build(&mut self) -> Result<(), Fault> {
        let new = self.pop()?;
        let depth = new.depth;
        let mut object = self.pop()?;
        match &mut object.kind {
            Kind::Call { state, .. } if state.is_none() => *state = Some(Box::new(new)),
            _ => return fault(self.opcode_at, "an object without state", object.describe()),
        }
        self.stack.push(object);
        self.hold(depth)
    }

    fn memorize(&mut self, opcode: u8) -> Result<(), Fault> {
        let key = self.memo_key(opcode)?;
        let value = self.pop()?;
        let kept = match value.kind {
            Kind::Bytes(bytes) => Memorized::Bytes(bytes),
            Kind::Global { module, name } => Memorized::Global { module, name },
            _ => Memorized::Other,
        };
        self.memo.insert(key, kept);
        self.stack.push(value);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), Fault> {
        let key = self.memo_key(opcode)?;
        match self.memo.get(&key).copied() {
            Some(Memorized::Bytes(bytes)) => self.push(Kind::Bytes(bytes)),
            Some(Memorized::Global { module, name }) => self.push(Kind::Global { module, name }),
            Some(Memorized::Other) => fault(self.opcode_at, "a string or name to repeat", "another value"),
            None => fault(self.opcode_at, "a value that occurred before", format!("memo {key}, which is empty")),
        }
    }

    fn memo_key(&mut self, opcode: u8) -> Result<u32, Fault> {
        let width = if matches!(opcode, b'q' | b'h') { 1 } else { 4 };
        Ok(self.unsigned(width, "a memo number")? as u32)
    }

    fn finish(mut self) -> Result<Value<'a>, Fault> {
        let value = self.pop()?;
        if !self.stack.is_empty() || !self.marks.is_empty() {
            return fault(self.opcode_at, "one value", "several");
        }
        if self.at != self.bytes.len() {
            return fault(self.at, "the end of the file", format!("{} further bytes", self.bytes.len() - self.at));
        }
        Ok(value)
    }
}

fn deepest(values: &[Value<'_>]) -> u8 {
    values.iter().map(|value| value.depth).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_call_is_kept_as_data() {
        // cos.system('true'), the classical attack.
        let value = parse(b"\x80\x02cposix\nsystem\nU\x04true\x85R.").unwrap();
        let Kind::Call { function, .. } = value.kind else { panic!("{value:?}") };
        assert!(matches!(function.kind, Kind::Global { module: "posix", name: "system" }));
    }

    #[test]
    fn a_bomb_of_nested_values_is_refused() {
        let mut bomb = b"\x80\x02K\x01".to_vec();
        bomb.extend([0x85; 1_000_000]);
        bomb.push(b'.');
        assert_eq!(parse(&bomb).unwrap_err().found, "deeply nested values");
        let doubling = b"\x80\x02]q\x00h\x00a.";
        assert_eq!(parse(doubling).unwrap_err().found, "another value");
    }

    #[test]
    fn other_opcodes_are_refused_with_their_place() {
        let fault = parse(b"\x80\x02K\x01\x93.").unwrap_err();
        assert_eq!((fault.offset, fault.found.as_str()), (4, "opcode 0x93"));
        assert_eq!(parse(b"\x80\x04.").unwrap_err().found, "protocol 4");
        assert_eq!(parse(b"\x80\x02K\x01.K").unwrap_err().offset, 5);
        assert_eq!(parse(b"\x80\x02T\xff\xff\xff\xffab").unwrap_err().offset, 9);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_sequence_of_known_opcodes_makes_it_panic(
            opcodes in prop::collection::vec(prop::sample::select(b"(NK]})\x85\x86\x87taesuRbq\x00h\x00.U\x01c\n\n".to_vec()), 0..200),
        ) {
            let _ = parse(&opcodes);
        }
    }
}
