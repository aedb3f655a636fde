/**
 * The part of the page's script that shows messages: plain browser JavaScript. What came from the channel gets into the
 * document as text and in no other way; how much of it stays there is bounded.
 */
export const MESSAGES = String.raw`
const MOST_MESSAGES = 500
const MOST_CHARACTERS = 4000000
// What is only a little longer than a folded message is not folded.
const FOLDED = { lines: 12, characters: 1200 }
const UNFOLDED = { lines: 18, characters: 1800 }
// JSON that is no longer than this stays on its line.
const ONE_LINE = 72
// Formatting costs time, and indentation grows with depth: past these a message is shown as it came.
const FORMATTED_CHARACTERS = 100000
const FORMATTED_DEPTH = 32
// What comes in a burst is put into the document together.
const TOGETHER_MS = 30

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: 'full' })
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' })
const whole = new Intl.NumberFormat()

function make(name, className, text) {
  const element = document.createElement(name)
  if (className) element.className = className
  if (text !== undefined) element.textContent = text
  return element
}

function plural(n, word) {
  return whole.format(n) + ' ' + word + (n === 1 ? '' : 's')
}

function today() {
  return new Date().toDateString()
}

function isJson(text) {
  if (text.length > FORMATTED_CHARACTERS || !/^\s*[[{]/.test(text)) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

// Only blanks between tokens are changed: parsing and printing again would round large numbers.
function formatJson(text) {
  let out = ''
  let depth = 0
  let before = ''
  const line = () => '\n' + '  '.repeat(depth)
  for (const [token] of text.matchAll(/"(?:[^"\\]+|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    const closes = token === '}' || token === ']'
    if (closes) depth--
    if (closes ? !'{['.includes(before) : before !== '' && '{[,'.includes(before)) out += line()
    out += token === ':' ? ': ' : token
    if (token === '{' || token === '[') depth++
    if (depth > FORMATTED_DEPTH) return text
    before = token
  }
  return out
}

function fold(text) {
  const lines = text.split('\n', UNFOLDED.lines + 1)
  if (lines.length <= UNFOLDED.lines && text.length <= UNFOLDED.characters) return text
  const short = lines.slice(0, FOLDED.lines).join('\n').slice(0, FOLDED.characters)
  // A cut must not leave half a character behind.
  return short.replace(/[\ud800-\udbff]$/, '') + ' …'
}

function createMessages({ log, list, jump, changed }) {
  const kept = new Set()
  const entryOf = new WeakMap()
  let characters = 0
  let received = 0
  let timer
  let unseen = 0
  // Whether the reader wants the end. A reader changes it by scrolling; a box that shrinks or content that grows does not.
  let following = true
  let lastTop = 0
  let lastDay = today()
  let formats = true

  const atBottom = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40

  function addMessage(frame) {
    received++
    const day = new Date(frame.time).toDateString()
    if (day !== lastDay) add({ text: calendar.format(frame.time) })
    lastDay = day
    const text = frame.data ?? frame.base64
    add({ frame, text, json: frame.data !== undefined && isJson(text), open: false })
  }

  function add(entry) {
    kept.add(entry)
    characters += entry.text.length
    for (const oldest of kept) {
      if (oldest === entry || (kept.size <= MOST_MESSAGES && characters <= MOST_CHARACTERS)) break
      kept.delete(oldest)
      characters -= oldest.text.length
      oldest.item?.remove()
    }
    timer ??= setTimeout(flush, TOGETHER_MS)
  }

  function flush() {
    timer = undefined
    for (const entry of kept) {
      if (entry.item) continue
      append(entry)
      if (!following && entry.frame) unseen++
    }
    keepPlace()
    tell()
  }

  function append(entry) {
    const { frame } = entry
    entry.item = make('li', frame ? 'message' : 'note', frame ? undefined : entry.text)
    if (frame) {
      entry.item.append(...partsOf(frame))
      entryOf.set(entry.item, entry)
      draw(entry)
    }
    list.append(entry.item)
  }

  function partsOf(frame) {
    const at = new Date(frame.time)
    const time = make('time', '', clock.format(at))
    time.dateTime = at.toISOString()
    time.title = moment.format(at)
    const content = make('div', 'content')
    const text = make('p', 'text')
    text.dir = 'auto'
    const kind = frame.data === undefined ? 'binary, in base64: ' + frame.type : frame.type
    if (!/^text\/plain\b/.test(kind)) content.append(make('p', 'kind', kind))
    content.append(text)
    return [time, content]
  }

  function draw({ item, text, json, open }) {
    const full = formats && json && (text.length > ONE_LINE || text.includes('\n')) ? formatJson(text) : text
    const short = fold(full)
    const content = item.lastElementChild
    const body = content.querySelector('.text')
    body.textContent = open ? full : short
    body.classList.toggle('json', json)
    content.querySelector('button')?.remove()
    if (short === full) return
    const button = make('button', 'quiet more', open ? 'Show less' : 'Show all ' + whole.format(text.length) + ' characters')
    button.type = 'button'
    button.setAttribute('aria-expanded', String(open))
    content.append(button)
  }

  function keepPlace() {
    if (!following) return
    log.scrollTop = log.scrollHeight
    lastTop = log.scrollTop
  }

  function lookWhere() {
    const { scrollTop } = log
    following = atBottom() || (following && scrollTop >= lastTop)
    lastTop = scrollTop
    if (!following || unseen === 0) return
    unseen = 0
    tell()
  }

  function tell() {
    jump.hidden = unseen === 0
    jump.textContent = plural(unseen, 'new message') + ' ↓'
    const shown = [...kept].filter((entry) => entry.frame).length
    changed({ received, shown, empty: kept.size === 0 })
  }

  list.addEventListener('click', ({ target }) => {
    const entry = target.matches('button') ? entryOf.get(target.closest('li')) : undefined
    if (!entry) return
    entry.open = !entry.open
    draw(entry)
    entry.item.querySelector('button').focus()
    following = atBottom()
  })
  log.addEventListener('scroll', lookWhere, { passive: true })
  jump.addEventListener('click', () => {
    following = true
    keepPlace()
    lookWhere()
    log.focus()
  })
  new ResizeObserver(keepPlace).observe(log)

  return {
    addMessage,
    addNote: (text) => add({ text }),
    format(on) {
      formats = on
      for (const entry of kept) if (entry.frame && entry.item) draw(entry)
      keepPlace()
    },
    clear() {
      kept.clear()
      list.replaceChildren()
      characters = received = unseen = 0
      following = true
      lastDay = today()
      tell()
    },
  }
}
`
