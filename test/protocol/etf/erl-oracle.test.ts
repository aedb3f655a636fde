import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createChance } from '../../simulation/chance.ts'
import { ERLANG, needs } from '../../support/parts.ts'
import { decode } from '../../../src/protocol/etf/decode.ts'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { scan } from '../../../src/protocol/etf/scan.ts'
import { ImproperList, TermMap, Tuple, type Term } from '../../../src/protocol/etf/term.ts'
import { drawTerm } from './draw.ts'
import { startErlang } from './erlang.ts'
import { comparable } from './vectors.ts'

/** More of them: `ERLANG_TERMS=100000`. */
const TERMS = Number(process.env['ERLANG_TERMS'] ?? 30_000)
const THEIRS = 20_000
const BATCH = 5_000
const SEED = 20_260_601

test(`${TERMS} terms go through a real Erlang and come back as they were`, needs(ERLANG), async () => {
  await using erlang = startErlang()
  const chance = createChance(SEED, 'terms')
  let exact = 0
  for (let from = 0; from < TERMS; from += BATCH) {
    const terms = Array.from({ length: BATCH }, () => drawTerm(chance, 3))
    const ours = terms.map((term) => encode(term))
    const theirs = await erlang.again(ours)
    assert.equal(theirs.length, BATCH)
    for (const [index, term] of terms.entries()) {
      const [our, their] = [ours[index] as Buffer, theirs[index] as Buffer]
      const where = `term ${from + index} of seed ${SEED}: ${our.toString('hex')}`
      assert.notEqual(their.length, 0, `Erlang refuses ${where}`)
      assert.equal(scan(our), our.length, where)
      const back = decode(their).term
      if (hasFreeOrder(term)) {
        assert.deepEqual(comparable(back), comparable(term), where)
      } else {
        exact++
        assert.ok(our.equals(their), `${where}, and Erlang writes ${their.toString('hex')}`)
      }
      assert.ok(encode(back).equals(their), where)
    }
  }
  assert.ok(exact > TERMS / 2, `only ${exact} were compared byte for byte`)
})

test('terms that Erlang draws are read, and written as it writes them', needs(ERLANG), async () => {
  await using erlang = startErlang()
  for (let from = 0; from < THEIRS; from += BATCH) {
    const theirs = await erlang.draw(SEED + from, BATCH)
    assert.equal(theirs.length, BATCH)
    const pairs = theirs.map((their) => {
      const { term, end } = decode(their)
      assert.equal(end, their.length)
      assert.equal(scan(their), end)
      const again = encode(term)
      assert.ok(again.equals(their), `${their.toString('hex')} of seed ${SEED + from} was written ${again.toString('hex')}`)
      return [their, encode(reversed(term))] as const
    })
    const same = await erlang.same(pairs)
    assert.equal(same.length, BATCH)
    for (const [index, each] of same.entries()) assert.ok(each, `Erlang reads another term when the pairs of ${(pairs[index] as readonly [Buffer, Buffer])[0].toString('hex')} are turned round`)
  }
})

/** Whether the bytes of a term are not determined: pairs of a map have no order. */
function hasFreeOrder(term: Term): boolean {
  if (term instanceof TermMap) return term.entries.length > 1 || term.entries.some((pair) => pair.some(hasFreeOrder))
  if (term instanceof Tuple) return term.elements.some(hasFreeOrder)
  if (term instanceof ImproperList) return term.items.some(hasFreeOrder) || hasFreeOrder(term.tail)
  return Array.isArray(term) && term.some(hasFreeOrder)
}

/** The same term with the pairs of its maps in another order. */
function reversed(term: Term): Term {
  if (term instanceof TermMap) return new TermMap(term.entries.map(([key, value]) => [reversed(key), reversed(value)] as const).reverse())
  if (term instanceof Tuple) return new Tuple(...term.elements.map(reversed))
  if (term instanceof ImproperList) return new ImproperList(term.items.map(reversed), reversed(term.tail))
  return Array.isArray(term) ? term.map(reversed) : term
}
