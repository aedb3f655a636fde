%% The client of the reference (erps.md, sections 4.1, 9 and 10.3): it looks for one packet every 100 ms, and answers nothing.
-module(erps_peer_client).
-behaviour(gen_server).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2]).
-import(erps_peer, [say/1, text/1, digest/1]).

-define(POLL, 100).
-define(READ_WAIT, 100).

%% Options: `port`, `tls`, `keepalive`, `reconnect`, `reply_ttl`, `read_wait`, and those of packets.
init({Name, Number, Options}) ->
    {ok, #{name => Name, number => Number, options => Options, socket => nil, pending => #{}}, {continue, connect}}.

handle_continue(connect, State) -> connect(State).

connect(#{name := Name, number := Number, options := #{port := Port} = Options} = State) ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]) of
        {error, econnrefused} ->
            say([turned_away, Name, Number]),
            erlang:send_after(maps:get(reconnect, Options, 60000), self(), connect),
            {noreply, State};
        {error, Reason} ->
            {stop, Reason, State};
        {ok, Raw} ->
            case upgrade(Raw, Options) of
                {error, Reason} ->
                    {stop, Reason, State};
                {ok, Socket} ->
                    erlang:send_after(?POLL, self(), recv),
                    erlang:send_after(maps:get(keepalive, Options, 60000), self(), keepalive),
                    say([connected, Name, Number]),
                    {noreply, State#{socket := Socket}}
            end
    end.

%% Of a connection that is there already only the address is known: it is what the certificate must name, and no SNI is sent.
upgrade(Raw, #{tls := Tls}) ->
    case ssl:connect(Raw, Tls ++ of_servers() ++ [{verify, verify_peer}]) of
        {ok, Socket} -> {ok, {ssl, Socket}};
        Error -> Error
    end;
upgrade(Raw, _) ->
    {ok, {gen_tcp, Raw}}.

%% An option for servers, which the reference states all the same; OTP 26 and newer refuse it (section 10.5).
of_servers() ->
    case list_to_integer(erlang:system_info(otp_release)) of
        Release when Release < 26 -> [{fail_if_no_peer_cert, true}];
        _ -> []
    end.

handle_call({'$send', Bytes}, _, State) ->
    {reply, send(Bytes, State), State};
handle_call('$disconnect', _, #{socket := {Module, Socket}} = State) ->
    {reply, Module:close(Socket), State};
handle_call(_, _, #{socket := nil} = State) ->
    {reply, disconnected, State};
handle_call(Request, From, #{options := Options, pending := Pending} = State) ->
    Ref = erlang:phash2(From),
    send(erps_peer_wire:packet(call, {Ref, Request}, Options), State),
    Until = erlang:monotonic_time(second) + maps:get(reply_ttl, Options, 5000),
    {noreply, State#{pending := Pending#{Ref => {From, Until}}}}.

handle_cast(_, #{socket := nil} = State) ->
    {noreply, State};
handle_cast(Request, #{options := Options} = State) ->
    send(erps_peer_wire:packet(cast, Request, Options), State),
    {noreply, State}.

handle_info(connect, State) ->
    connect(State);
handle_info(keepalive, #{options := Options, pending := Pending} = State) ->
    send(erps_peer_wire:keepalive(), State),
    erlang:send_after(maps:get(keepalive, Options, 60000), self(), keepalive),
    Now = erlang:monotonic_time(second),
    {noreply, State#{pending := maps:filter(fun(_, {_, Until}) -> Until > Now end, Pending)}};
handle_info(recv, #{name := Name, number := Number, socket := Socket, options := Options} = State) ->
    % Local callers wait while it looks.
    erlang:send_after(?POLL, self(), recv),
    case erps_peer_wire:read(Socket, maps:get(read_wait, Options, ?READ_WAIT), #{}) of
        {error, Reason} when Reason =:= closed; Reason =:= enotconn ->
            {stop, disconnected, State};
        {error, timeout} ->
            {noreply, State};
        {error, Reason} ->
            say([dropped, Name, Number, Reason]),
            {noreply, State};
        {refused, Text} ->
            say([dropped, Name, Number, Text]),
            {noreply, State};
        {Loss, Bytes} when Loss =:= junk; Loss =:= late ->
            say([Loss, Name, Number, Bytes]),
            {noreply, State};
        keepalive ->
            say([got, Name, Number, keepalive]),
            error(keepalive);
        {ok, Type, Term, #{behind := Behind}} ->
            say([got, Name, Number, Type, text(Term), digest(Term), Behind]),
            {noreply, took(Type, Term, State)}
    end.

%% Nothing else is taken: it crashes.
took(reply, {Answer, Ref}, State) -> settle(Ref, Answer, State);
took(error, {Reason, Ref}, State) -> settle(Ref, {error, Reason}, State);
took(error, _, State) -> State;
took(push, _, State) -> State.

settle(Ref, Answer, #{name := Name, number := Number, pending := Pending} = State) ->
    case maps:take(Ref, Pending) of
        {{From, _}, Rest} ->
            gen_server:reply(From, Answer),
            State#{pending := Rest};
        error ->
            say([ignored, Name, Number, Ref]),
            State
    end.

send(Bytes, #{socket := {Module, Socket}}) -> Module:send(Socket, Bytes);
send(_, _) -> ok.
