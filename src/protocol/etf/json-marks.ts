import { integerFrom, type Members } from './json-text.ts'
import { Atom, BitString, COMMON_ATOMS, ImproperList, Pid, Reference, TermMap, Tuple, type Term } from './term.ts'

/** A name that begins with it is a mark, or may be one. */
export const MARK = '$'
/** The member of an object whose other names are atoms, and its value. */
export const [KEYS, KEYS_ARE_ATOMS] = ['$keys', 'atoms']

const LOCAL_NODE = 'nonode@nohost'
const MAX_UINT32 = 0xffff_ffff
const MAX_WORDS = 5
const INTEGER = /^(?:0|-?[1-9]\d*)$/

/** Makes terms of the objects of one JSON text. */
export interface Marks {
  object(members: Members): Term
  /** Whether keys that are no names were seen: two of them may be the same term. */
  readonly hasFreeKeys: boolean
}

/**
 * Understands `{"$tuple":[…]}` and its like (`docs/protocols/erlang-terms.md`). What looks like a mark and is none that is
 * made so is a map like any other, so that whatever a client sends arrives as something.
 * @param atoms those that may be made beside `COMMON_ATOMS`, and the nodes that may be named. Any other is a binary: an
 *   Erlang peer closes the connection at an atom that it does not know (`pony-express.md`, section 11)
 */
export function createMarks(atoms: ReadonlySet<string>): Marks {
  /** Lists and maps that a mark has made: what a mark holds must be plain JSON. */
  const made = new Set<Term>()
  let hasFreeKeys = false

  function isKnown(name: string): boolean {
    return atoms.has(name) || COMMON_ATOMS.has(name)
  }
  function atom(name: string): Term {
    if (name === 'true') return true
    if (name === 'false') return false
    if (name === 'nil') return null
    // Bytes, because text would be a value that JSON holds and a mark may hold.
    return isKnown(name) ? new Atom(name) : Buffer.from(name)
  }
  function array(value: Term | undefined): readonly Term[] | undefined {
    return Array.isArray(value) && !made.has(value as Term) ? (value as readonly Term[]) : undefined
  }
  function pair(value: Term | undefined): readonly Term[] | undefined {
    const elements = array(value)
    return elements?.length === 2 ? elements : undefined
  }
  function keep<T extends Term>(term: T): T {
    made.add(term)
    return term
  }

  function keyword(value: Term): Term | undefined {
    const items = array(value)
    if (items === undefined || items.length === 0) return undefined
    const tuples: Term[] = []
    for (const item of items) {
      const [name, second] = pair(item) ?? []
      if (typeof name !== 'string') return undefined
      tuples.push(new Tuple(atom(name), second as Term))
    }
    return keep(tuples)
  }
  function map(value: Term): Term | undefined {
    const entries = array(value)?.map(pair)
    if (entries === undefined || entries.includes(undefined)) return undefined
    hasFreeKeys = true
    return keep(new TermMap(entries as unknown as [Term, Term][]))
  }
  function improper(value: Term): Term | undefined {
    const [first, tail] = pair(value) ?? []
    const items = array(first)
    if (items === undefined || items.length === 0 || Array.isArray(tail)) return undefined
    return new ImproperList(items, tail as Term)
  }
  /** The members of an object without marks, if these are all that it has. */
  function fields(value: Term, names: readonly string[]): Term[] | undefined {
    if (!(value instanceof TermMap) || made.has(value) || value.entries.length !== names.length) return undefined
    const members = new Map(value.entries)
    return names.every((name) => members.has(name)) ? names.map((name) => members.get(name) as Term) : undefined
  }
  function isNode(node: Term | undefined): node is string {
    return typeof node === 'string' && (node === LOCAL_NODE || isKnown(node))
  }
  function pid(value: Term): Term | undefined {
    const [node, id, serial, creation] = fields(value, ['node', 'id', 'serial', 'creation']) ?? []
    return isNode(node) && isUint32(id) && isUint32(serial) && isUint32(creation) ? new Pid(node, id, serial, creation) : undefined
  }
  function reference(value: Term): Term | undefined {
    const [node, creation, third] = fields(value, ['node', 'creation', 'words']) ?? []
    const words = array(third)
    if (!isNode(node) || !isUint32(creation) || words === undefined || words.length > MAX_WORDS || !words.every(isUint32)) return undefined
    return new Reference(node, creation, words)
  }
  function marked(name: string, value: Term): Term | undefined {
    switch (name) {
      case '$atom': return typeof value === 'string' ? atom(value) : undefined
      case '$binary': return fromBase64(value)
      case '$integer': return long(value)
      case '$tuple': return tuple(array(value))
      case '$keyword': return keyword(value)
      case '$map': return map(value)
      case '$improper': return improper(value)
      case '$bits': return bits(pair(value))
      case '$pid': return pid(value)
      case '$reference': return reference(value)
      default: return undefined
    }
  }

  return {
    get hasFreeKeys() { return hasFreeKeys },
    object(members) {
      // The last of those with one name, as everywhere in JSON.
      const named = new Map(members)
      if (named.size === 1) {
        const [[name, value]] = [...named] as [[string, Term]]
        const term = name.startsWith(MARK) ? marked(name, value) : undefined
        if (term !== undefined) return term
      }
      if (named.get(KEYS) !== KEYS_ARE_ATOMS || named.size === 1) return new TermMap([...named])
      const entries = [...named].filter(([name]) => name !== KEYS)
      if (entries.some(([name]) => name.startsWith(MARK))) return new TermMap([...named])
      return keep(new TermMap(entries.map(([name, value]) => [atom(name), value])))
    },
  }
}

function isUint32(value: Term | undefined): value is number {
  return typeof value === 'number' && value >= 0 && value <= MAX_UINT32
}

/** Always a bigint, to tell it from the numbers of plain JSON. */
function long(value: Term): bigint | undefined {
  const integer = typeof value === 'string' && INTEGER.test(value) ? integerFrom(value) : undefined
  return integer === undefined ? undefined : BigInt(integer)
}

function fromBase64(value: Term | undefined): Buffer | undefined {
  if (typeof value !== 'string') return undefined
  const bytes = Buffer.from(value, 'base64')
  // Node reads what is no Base64 as far as it can.
  return bytes.toString('base64') === value ? bytes : undefined
}

function bits(value: readonly Term[] | undefined): BitString | undefined {
  const bytes = fromBase64(value?.[0])
  const lastBits = value?.[1]
  if (bytes === undefined || bytes.length === 0 || typeof lastBits !== 'number' || lastBits < 1 || lastBits > 7) return undefined
  const spare = 0xff >>> lastBits
  return ((bytes.at(-1) as number) & spare) === 0 ? new BitString(bytes, lastBits) : undefined
}

/** One at a time would do; but as arguments of one call, many elements take more stack than there is. */
function tuple(elements: readonly Term[] | undefined): Tuple | undefined {
  return elements === undefined ? undefined : Object.assign(new Tuple(), { elements })
}
