%% A client and a daemon that behave as the reference does (pony-express.md, sections 2 to 9 and 19; erps.md, section 10),
%% written from these documents alone. Driven over stdin: each line is a number and an expression, which is evaluated; told
%% over stdout are its value and, as they come, the events.
-module(pony_express_peer).
-behaviour(supervisor).
-export([main/0, init/1, start_client/2, start_daemon/2]).
-export([daemon/2, client/2, stop/1, kill/1, kill_servers/1, watch/3, broadcast/3, digest/1]).

-define(COOKIE, 16#07440745).
-define(READ_WAIT, 100).
-define(HANDSHAKE_LIMIT, 200).
-define(ACCEPT_WAIT, 1000).
-define(REFUSED_WAIT, 1000).

main() ->
    logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    {ok, _} = application:ensure_all_started(ssl),
    things = ets:new(things, [named_table, public, bag]),
    Console = open_port({fd, 0, 1}, [binary, {line, 1048576}]),
    persistent_term:put(console, Console),
    say([ready, erlang:system_info(otp_release)]),
    commands(Console).

commands(Console) ->
    receive
        {Console, {data, {eol, Line}}} ->
            [Id, Expression] = binary:split(Line, <<" ">>),
            try evaluate(Expression) of
                Value -> say([done, Id, text(Value)])
            catch
                _:Reason -> say([failed, Id, text(Reason)])
            end,
            commands(Console);
        {'EXIT', Console, _} ->
            halt(0);
        {'EXIT', Supervisor, _} ->
            [say([gave_up, Name]) || {Name, supervisor, One} <- ets:tab2list(things), One =:= Supervisor],
            commands(Console)
    end.

evaluate(Expression) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Expression)),
    {ok, Parsed} = erl_parse:parse_exprs(Tokens),
    Local = {value, fun(Name, Arguments) -> apply(?MODULE, Name, Arguments) end},
    {value, Value, _} = erl_eval:exprs(Parsed, [], Local),
    Value.

%% One line: an event, whom it is of, and what more there is to it.
say(Parts) ->
    Line = [lists:join($\t, [part(Part) || Part <- Parts]), $\n],
    try port_command(persistent_term:get(console), Line)
    catch error:badarg -> halt(0)
    end.

part(Part) when is_binary(Part); is_list(Part) -> Part;
part(Part) -> text(Part).

text(Value) ->
    Text = iolist_to_binary(io_lib:format("~0p", [Value])),
    binary:part(Text, 0, min(byte_size(Text), 300)).

%% What a term is, the same for the same term only.
digest(Term) ->
    binary:encode_hex(binary:part(crypto:hash(sha256, term_to_binary(Term, [deterministic])), 0, 8)).

%% Supervision (sections 6.1, 8 and 12): one child each, three restarts within five seconds.

daemon(Name, Options) -> supervise(Name, #{id => ?MODULE, start => {?MODULE, start_daemon, [Name, Options]}, restart => permanent, shutdown => 500}).
client(Name, Options) -> supervise(Name, #{id => maps:get(topic, Options), start => {?MODULE, start_client, [Name, Options]}, restart => transient, shutdown => 500}).

supervise(Name, Child) ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, Child),
    ets:insert(things, {Name, supervisor, Supervisor}),
    [Port || {_, port, Port} <- ets:lookup(things, Name)].

init(Child) -> {ok, {#{strategy => one_for_one, intensity => 3, period => 5}, [Child]}}.

%% For good.
stop(Name) ->
    [end_of(Pid, shutdown) || {_, supervisor, Pid} <- ets:lookup(things, Name)],
    Served = kill_servers(Name),
    ets:delete(things, Name),
    Served.

%% As its supervisor finds it: it starts another.
kill(Name) ->
    [{_, _, Supervisor}] = [One || {_, supervisor, _} = One <- ets:lookup(things, Name)],
    [{_, Pid, _, _}] = supervisor:which_children(Supervisor),
    end_of(Pid, kill).

kill_servers(Name) ->
    Servers = [Pid || {_, server, Pid} <- ets:lookup(things, Name), is_process_alive(Pid)],
    [end_of(Pid, kill) || Pid <- Servers],
    ets:match_delete(things, {Name, server, '_'}),
    length(Servers).

end_of(Pid, Reason) ->
    Monitor = monitor(process, Pid),
    exit(Pid, Reason),
    receive {'DOWN', Monitor, _, _, _} -> ok end.

%% The PubSub underneath (section 13): processes that join a topic get the bare message.

subscribe(PubSub, Topic) ->
    case pg:start(PubSub) of
        {ok, _} -> ok;
        {error, {already_started, _}} -> ok
    end,
    pg:join(PubSub, Topic, self()).

broadcast(PubSub, Topic, Message) ->
    _ = pg:start(PubSub),
    [Pid ! Message || Pid <- pg:get_members(PubSub, Topic)],
    ok.

%% A subscriber that tells what it gets.
watch(Name, PubSub, Topic) ->
    Self = self(),
    Pid = spawn(fun() -> subscribe(PubSub, Topic), Self ! {watches, self()}, watching(Name) end),
    receive {watches, Pid} -> ok end.

watching(Name) ->
    receive Message -> say([heard, Name, text(Message), digest(Message)]) end,
    watching(Name).

%% The daemon (section 6.1), its servers under a supervisor of their own, so that they live on without it.

start_daemon(Name, Options) ->
    {ok, Listener} = gen_tcp:listen(maps:get(port, Options, 0), [binary, {active, false}, {reuseaddr, true}, {ip, {127, 0, 0, 1}}]),
    Pid = spawn_link(fun() -> receive owns -> accept(Name, Options, Listener, 1) end end),
    ok = gen_tcp:controlling_process(Listener, Pid),
    Pid ! owns,
    {ok, Port} = inet:port(Listener),
    ets:insert(things, {Name, port, Port}),
    {ok, Pid}.

accept(Name, Options, Listener, Number) ->
    case gen_tcp:accept(Listener, ?ACCEPT_WAIT) of
        {error, timeout} ->
            accept(Name, Options, Listener, Number);
        {ok, Socket} ->
            Pid = spawn(fun() -> receive handshake -> serve(Name, Number, Socket, Options) end end),
            ets:insert(things, {Name, server, Pid}),
            ok = gen_tcp:controlling_process(Socket, Pid),
            Pid ! handshake,
            accept(Name, Options, Listener, Number + 1)
    end.

serve(Name, Number, Socket, Options) ->
    case secure_server(Socket, Options) of
        {ok, Secure} ->
            say([accepted, Name, Number]),
            self() ! recv,
            served(Name, Number, Secure, Options, <<>>);
        {error, Reason} ->
            gen_tcp:close(Socket),
            say([refused, Name, Number, text(Reason)])
    end.

secure_server(Socket, #{tls := Tls}) ->
    case ssl:handshake(Socket, [{verify, verify_peer}, {fail_if_no_peer_cert, true} | Tls], ?HANDSHAKE_LIMIT) of
        {ok, Secure} -> {ok, {ssl, Secure}};
        Error -> Error
    end;
secure_server(Socket, _) ->
    {ok, {gen_tcp, Socket}}.

%% `recv` is the signal of its own loop: a broadcast of it is swallowed (section 6.2).
served(Name, Number, Socket, Options, Buffer) ->
    receive
        recv ->
            case step(Name, Socket, Buffer) of
                {error, Reason} ->
                    stopped(Name, Number, Socket, Reason);
                {none, Rest} ->
                    self() ! recv,
                    served(Name, Number, Socket, Options, Rest);
                {frame, Payload, Rest} ->
                    case asked(Name, Number, decode(Payload), Options) of
                        ok -> self() ! recv, served(Name, Number, Socket, Options, Rest);
                        {error, Reason} -> stopped(Name, Number, Socket, Reason)
                    end
            end;
        Message ->
            case send(Socket, {pubsub, Message}) of
                ok -> served(Name, Number, Socket, Options, Buffer);
                {error, Reason} -> stopped(Name, Number, Socket, Reason)
            end
    end.

asked(Name, Number, {ok, Term, Behind}, #{pubsub := PubSub} = Options) ->
    say([asked, Name, Number, text(Term), Behind]),
    case Term of
        {subscribe, Topic} when is_binary(Topic) -> subscribe(PubSub, sharded(Topic, Options));
        keepalive -> ok;
        nil -> ok;
        _ -> {error, einval}
    end;
asked(_, _, Error, _) ->
    Error.

stopped(Name, Number, {Module, Socket}, Reason) ->
    Module:close(Socket),
    say([stopped, Name, Number, text(Reason)]).

%% Universes (section 14): nothing of them goes on the wire.
sharded(Topic, #{universe := Universe}) -> {Topic, Universe};
sharded(Topic, _) -> Topic.

%% The client (section 7): any end of it is abnormal, and left to its supervisor.

start_client(Name, Options) ->
    {ok, spawn_link(fun() -> connect(Name, Options) end)}.

connect(Name, #{port := Port, topic := Topic} = Options) ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]) of
        {error, econnrefused} ->
            say([turned_away, Name]),
            timer:sleep(?REFUSED_WAIT),
            connect(Name, Options);
        {error, Reason} ->
            fails(Name, Reason);
        {ok, Socket} ->
            case secure_client(Socket, Options) of
                {error, Reason} ->
                    fails(Name, Reason);
                {ok, Secure} ->
                    say([connected, Name]),
                    case send(Secure, {subscribe, Topic}) of
                        ok -> takes(Name, Secure, Options, <<>>);
                        {error, Reason} -> fails(Name, Reason)
                    end
            end
    end.

%% Of a connection that is there already only the address is known: it is what the certificate must name, and no SNI is sent.
secure_client(Socket, #{tls := Tls}) ->
    case ssl:connect(Socket, [{verify, verify_peer} | Tls]) of
        {ok, Secure} -> {ok, {ssl, Secure}};
        Error -> Error
    end;
secure_client(Socket, _) ->
    {ok, {gen_tcp, Socket}}.

takes(Name, Socket, #{pubsub := PubSub, topic := Topic} = Options, Buffer) ->
    case step(Name, Socket, Buffer) of
        {error, Reason} ->
            fails(Name, Reason);
        {none, Rest} ->
            takes(Name, Socket, Options, Rest);
        {frame, Payload, Rest} ->
            case decode(Payload) of
                {ok, {pubsub, Message}, _} ->
                    broadcast(PubSub, sharded(Topic, Options), Message),
                    takes(Name, Socket, Options, Rest);
                {ok, nil, _} ->
                    takes(Name, Socket, Options, Rest);
                {ok, _, _} ->
                    fails(Name, error);
                {error, Reason} ->
                    fails(Name, Reason)
            end
    end.

fails(Name, Reason) ->
    say([failed_client, Name, text(Reason)]),
    exit(Reason).

%% The stream (section 5), and what may stand in it (section 11).

step(Name, Socket, Buffer) ->
    case Buffer of
        <<?COOKIE:32, Size:32, Payload:Size/binary, Rest/binary>> ->
            {frame, Payload, Rest};
        <<?COOKIE:32, _:32, _/binary>> ->
            more(Socket, Buffer);
        _ when byte_size(Buffer) >= 8 ->
            say([junk, Name, byte_size(Buffer)]),
            {none, <<>>};
        _ ->
            more(Socket, Buffer)
    end.

more({Module, Socket}, Buffer) ->
    case Module:recv(Socket, 0, ?READ_WAIT) of
        {ok, Bytes} -> {none, <<Buffer/binary, Bytes/binary>>};
        {error, timeout} -> {none, Buffer};
        Error -> Error
    end.

send({Module, Socket}, Term) ->
    Payload = term_to_binary(Term),
    Module:send(Socket, [<<?COOKIE:32, (byte_size(Payload)):32>>, Payload]).

%% With it the number of bytes behind the term.
decode(Payload) ->
    try binary_to_term(Payload, [safe, used]) of
        {Term, Used} ->
            case harmless(Term) of
                true -> {ok, Term, byte_size(Payload) - Used};
                false -> {error, unsafe}
            end
    catch
        error:badarg -> {error, badarg}
    end.

harmless(Term) when is_function(Term); is_port(Term) -> false;
harmless([Head | Tail]) -> harmless(Head) andalso harmless(Tail);
harmless(Term) when is_tuple(Term) -> harmless(tuple_to_list(Term));
harmless(Term) when is_map(Term) -> harmless(maps:to_list(Term));
harmless(_) -> true.
