import { MESSAGES } from './page-messages.ts'
import { SOCKET } from './page-socket.ts'

const MAIN = String.raw`
const id = (name) => document.getElementById(name)
const field = id('field')
const notice = id('notice')
const title = document.title
const NOT_CONNECTED = 'Not connected. The message stays here until the channel is live again.'
// The hub closes with these when it did not take a message: a rule is against it, or it is too large.
const [FORBIDDEN, TOO_LARGE] = [1008, 1009]
// Sent, and not yet come back: every sender gets its own messages.
const sent = []
// What was given back without knowing whether it was published.
let returned
let mayPublish = true
let whileAway = 0
let countdown

function setState(state, text) {
  document.body.dataset.state = state
  clearInterval(countdown)
  id('state').textContent = text
  id('wait').textContent = ''
  id('retry').hidden = state !== 'waiting'
}

function say(element, text) {
  element.textContent = text
  element.hidden = text === ''
}

function sayWhy(text) {
  say(id('why'), text)
}

function between(away) {
  if (!away) return 'Messages before this may be missing.'
  return 'Messages may be missing from ' + clock.format(away.from) + ' to ' + clock.format(away.to) + ', while this page was away.'
}

const messages = createMessages({
  log: id('log'),
  list: id('messages'),
  jump: id('jump'),
  changed({ received, shown, empty }) {
    id('count').textContent = plural(received, 'message')
    say(id('older'), shown < received ? plural(received - shown, 'older message') + ' no longer shown' : '')
    id('empty').hidden = !empty
    document.title = (whileAway > 0 ? '(' + whole.format(whileAway) + ') ' : '') + title
  },
})

const connection = keepConnected({
  connecting: () => setState('connecting', 'Connecting'),
  live() {
    setState('live', 'Live')
    sayWhy('')
    if (notice.textContent === NOT_CONNECTED) say(notice, '')
  },
  waiting(ms) {
    const due = performance.now() + ms
    setState('waiting', 'Reconnecting')
    const show = () => (id('wait').textContent = ' in ' + Math.max(1, Math.ceil((due - performance.now()) / 1000)) + ' s')
    countdown = setInterval(show, 250)
    show()
  },
  notOpened(status) {
    if (status === 0) sayWhy('The hub cannot be reached.')
    else if (status === 200) sayWhy('The hub is there, but refuses to open this channel: a rule, a limit or a proxy is in the way.')
    else sayWhy('The server answers with status ' + status + '.')
  },
  lost(code, reason) {
    sayWhy(reason === '' ? 'The connection was lost.' : 'The hub closed the connection: ' + reason + '.')
    returnUnsent(code, reason)
  },
  message(frame) {
    const mine = sent.indexOf(frame.data)
    if (mine !== -1) sent.splice(mine, 1)
    if (frame.data === returned) takeBack()
    if (document.hidden) whileAway++
    messages.addMessage(frame)
  },
  gap: (away) => messages.addNote(between(away)),
})

// What was sent and did not come back is given back to the writer, who knows best whether to send it again.
function returnUnsent(code, reason) {
  if (code === FORBIDDEN) forbidPublishing(reason)
  else if (code === TOO_LARGE) say(notice, 'The message is larger than the hub takes from a page.')
  else if (sent.length > 0) say(notice, 'The connection was lost before the hub answered: the message may not have been published.')
  if (sent.length > 0 && field.value === '') {
    write(sent.join('\n'))
    returned = code === FORBIDDEN || code === TOO_LARGE ? undefined : field.value
  }
  sent.length = 0
}

// It was published after all: the hub had kept it, and the page has caught up.
function takeBack() {
  if (field.value === returned) write('')
  returned = undefined
  say(notice, '')
}

function forbidPublishing(reason) {
  mayPublish = false
  field.readOnly = true
  id('form').dataset.forbidden = ''
  say(notice, 'You cannot publish to this channel: ' + (reason || 'a rule does not allow it') + '. You still see what others publish.')
}

function write(text) {
  field.value = text
  field.style.height = 'auto'
  field.style.height = field.scrollHeight + 2 + 'px'
}

function publish() {
  const text = field.value.toWellFormed?.() ?? field.value
  field.focus()
  if (text === '' || !mayPublish) return
  if (!connection.send(text)) return say(notice, NOT_CONNECTED)
  sent.push(text)
  say(notice, '')
  write('')
}

async function copyCommand() {
  const command = id('command')
  try {
    await navigator.clipboard.writeText(command.textContent)
  } catch {
    // Without HTTPS there is no clipboard, but there is a selection.
    getSelection().selectAllChildren(command)
    document.execCommand('copy')
  }
  id('copy').textContent = 'Copied'
  setTimeout(() => (id('copy').textContent = 'Copy'), 1500)
}

// The query is kept for proxies that want it. Braces and brackets are signs to curl, a quote is one to the shell.
function curlCommand() {
  const url = address.replace(/^ws/, 'http').replace(/['[\]{}]/g, (sign) => '%' + sign.charCodeAt(0).toString(16).toUpperCase())
  return 'curl -d hello ' + (/^[\w.~:/%@+,=-]+$/.test(url) ? url : "'" + url + "'")
}

document.documentElement.lang = 'en'
id('address').textContent = address
id('command').textContent = curlCommand()
id('retry').addEventListener('click', () => {
  // The button goes; the focus must not be lost with it.
  id('log').focus()
  connection.now()
})
id('clear').addEventListener('click', messages.clear)
id('copy').addEventListener('click', copyCommand)
id('format').addEventListener('change', ({ target }) => messages.format(target.checked))
field.addEventListener('input', () => write(field.value))
field.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  publish()
})
id('form').addEventListener('submit', (event) => {
  event.preventDefault()
  publish()
})
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return
  whileAway = 0
  document.title = title
})
// Where a keyboard would cover half of the page, the field waits to be touched.
if (matchMedia('(hover: hover)').matches) field.focus()
`

/** The whole script of the page. Nothing of a request gets into it. */
export const SCRIPT = `\n${SOCKET}${MESSAGES}${MAIN}`
