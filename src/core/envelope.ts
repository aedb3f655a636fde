import { formatCursor, type Cursor } from './cursor.ts'
import { cursorOf, encodedOnce, type Message } from './message.ts'
import { topicIsText, topicToUrl } from './topic.ts'

/**
 * A message with its place and name, as one JSON object: what a client gets that asks for `format=json`.
 * `{"cursor","topic","time","type","data"}`; a body that is no text stands in `"base64"` instead of `"data"`, and a
 * topic that is no text is percent-encoded in `"topicUrl"`.
 */
export function envelope(message: Message): Buffer {
  return encodedOnce(message, 'json', toJson)
}

function toJson(message: Message): Buffer {
  const name = topicIsText(message.topic) ? { topic: message.topic } : { topicUrl: topicToUrl(message.topic) }
  const body = message.text ? { data: message.body.toString('utf8') } : { base64: message.body.toString('base64') }
  const place = { cursor: formatCursor(cursorOf(message)), time: Math.round(message.time), type: message.contentType }
  return Buffer.from(JSON.stringify({ ...place, ...name, ...body }))
}

/** What stands in the stream where messages are lost: `{"gap":{"from","to"}}`. */
export function gapEnvelope(from: Cursor, to: Cursor): Buffer {
  return Buffer.from(JSON.stringify({ gap: { from: formatCursor(from), to: formatCursor(to) } }))
}

/** The first thing on a JSON stream: the place it begins at, so that a client can resume before any message came. */
export function placeEnvelope(at: Cursor): Buffer {
  return Buffer.from(JSON.stringify({ cursor: formatCursor(at) }))
}
