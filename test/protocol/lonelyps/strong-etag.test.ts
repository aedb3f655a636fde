import assert from 'node:assert/strict'
import { test } from 'node:test'
import { strongEtag } from '../../../src/protocol/lonelyps/strong-etag.ts'
import { hex, vectors } from './vectors.ts'

for (const { description, url, topics, globs, etag_hex } of vectors.strong_etag.cases) {
  test(`the etag of the protocol document, whatever the order of the entries: ${description}`, () => {
    const exact = topics.map(({ topic_hex, recovery }) => ({ target: hex(topic_hex), recovery: recovery ?? undefined }))
    const matching = globs.map(({ glob, recovery }) => ({ target: Buffer.from(glob), recovery: recovery ?? undefined }))
    assert.equal(strongEtag(url, exact, matching).toString('hex'), etag_hex)
    const before = [...exact]
    assert.equal(strongEtag(url, exact.toReversed(), matching.toReversed()).toString('hex'), etag_hex)
    assert.deepEqual(exact, before)
  })
}
