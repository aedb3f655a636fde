import { KEYS, KEYS_ARE_ATOMS, MARK } from './json-marks.ts'
import { MAX_DIGITS } from './json-text.ts'
import { Atom, BitString, Float, ImproperList, Pid, Reference, TermMap, Tuple, type Term } from './term.ts'

/** How a term that holds others is written: `open`, then each with what stands before it, then `close`. */
export interface Shape {
  readonly open: string
  readonly count: number
  before(index: number): string
  at(index: number): Term
  readonly close: string
}

/** Nothing for a term that holds no others. */
export function shapeOf(term: Term): Shape | undefined {
  if (term instanceof Tuple) return listed('{"$tuple":[', term.elements, ']}')
  if (term instanceof TermMap) return ofMap(term.entries)
  if (Array.isArray(term)) return ofList(term as readonly Term[])
  return term instanceof ImproperList ? ofImproper(term) : undefined
}

function listed(open: string, terms: readonly Term[], close: string): Shape {
  return { open, count: terms.length, before: (index) => (index === 0 ? '' : ','), at: (index) => terms[index] as Term, close }
}

function ofImproper({ items, tail }: ImproperList): Shape {
  const { length } = items
  return {
    open: '{"$improper":[[',
    count: length + 1,
    before: (index) => (index === 0 ? '' : index === length ? '],' : ','),
    at: (index) => (index === length ? tail : items[index] as Term),
    close: ']}',
  }
}

function ofList(items: readonly Term[]): Shape {
  if (items.length === 0 || !items.every(isNamedPair)) return listed('[', items, ']')
  return {
    open: '{"$keyword":[',
    count: items.length,
    before: (index) => `${index === 0 ? '' : '],'}[${quoted(atomName(items[index]?.elements[0] as Term) as string)},`,
    at: (index) => items[index]?.elements[1] as Term,
    close: ']]}',
  }
}

function isNamedPair(item: Term): item is Tuple {
  return item instanceof Tuple && item.elements.length === 2 && atomName(item.elements[0] as Term) !== undefined
}

function ofMap(entries: TermMap['entries']): Shape {
  if (entries.every(([key]) => isName(textName(key)))) return ofNames(entries, textName, '}')
  if (entries.every(([key]) => isName(atomName(key)))) return ofNames(entries, atomName, `,"${KEYS}":"${KEYS_ARE_ATOMS}"}`)
  return {
    open: '{"$map":[',
    count: 2 * entries.length,
    before: (index) => (index % 2 === 1 ? ',' : index === 0 ? '[' : '],['),
    at: (index) => entries[index >> 1]?.[index % 2] as Term,
    close: ']]}',
  }
}

function ofNames(entries: TermMap['entries'], nameOf: (key: Term) => string | undefined, close: string): Shape {
  return {
    open: '{',
    count: entries.length,
    before: (index) => `${index === 0 ? '' : ','}${quoted(nameOf(entries[index]?.[0] as Term) as string)}:`,
    at: (index) => entries[index]?.[1] as Term,
    close,
  }
}

/** Whether it may be the name of a member without being taken for a mark. */
function isName(name: string | undefined): boolean {
  return name !== undefined && !name.startsWith(MARK)
}

function textName(term: Term): string | undefined {
  return typeof term === 'string' ? term : undefined
}

function atomName(term: Term): string | undefined {
  if (term instanceof Atom) return term.name
  if (term === null) return 'nil'
  return typeof term === 'boolean' ? String(term) : undefined
}

/**
 * The JSON of a term that holds no others; nothing when it has none.
 * @param most bytes that it may take; where it takes more, it need not be made
 */
export function scalar(term: Term, most: number): string | undefined {
  if (typeof term === 'string') return term.length > most ? undefined : quoted(term)
  if (typeof term === 'number' || typeof term === 'boolean' || term === null) return String(term)
  if (typeof term === 'bigint') return ofBigInt(term)
  if (term instanceof Float) return ofFloat(term.value)
  if (term instanceof Atom) return `{"$atom":${quoted(term.name)}}`
  if (term instanceof Pid) return `{"$pid":{"node":${quoted(term.node)},"id":${term.id},"serial":${term.serial},"creation":${term.creation}}}`
  if (term instanceof Reference) return `{"$reference":{"node":${quoted(term.node)},"creation":${term.creation},"words":[${term.words.join(',')}]}}`
  if (term instanceof BitString) return term.bytes.length > most ? undefined : `{"$bits":[${base64(term.bytes)},${term.lastBits}]}`
  return term instanceof Uint8Array && term.length <= most ? `{"$binary":${base64(term)}}` : undefined
}

const BITS_OF_HEX = 4
const MAX_HEX = Math.ceil((MAX_DIGITS * Math.log2(10)) / BITS_OF_HEX)

function ofBigInt(value: bigint): string | undefined {
  const magnitude = value < 0n ? -value : value
  // To find out how many digits there are takes as long as to write them.
  if (magnitude.toString(16).length > MAX_HEX) return undefined
  const digits = magnitude.toString()
  return digits.length > MAX_DIGITS ? undefined : `{"$integer":"${value < 0n ? '-' : ''}${digits}"}`
}

/** With a point always, so that it is no integer. */
function ofFloat(value: number): string {
  if (Object.is(value, -0)) return '-0.0'
  const [mantissa, exponent] = String(value).split('e') as [string, string?]
  const decimal = mantissa.includes('.') ? mantissa : `${mantissa}.0`
  return exponent === undefined ? decimal : `${decimal}e${exponent.replace('+', '')}`
}

function quoted(text: string): string {
  return JSON.stringify(text)
}

function base64(bytes: Uint8Array): string {
  return `"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')}"`
}
